"""The tables as the newest revision leaves them, for alembic and for SQLAlchemy users."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(constraint_name)s",
    }
)


def _id() -> Column[object]:
    return Column("id", UUID, primary_key=True, server_default=text("gen_random_uuid()"))


def _time(name: str) -> Column[object]:
    return Column(
        name, DateTime(timezone=True), nullable=False, server_default=text("now()")
    )


def _flag(name: str, default: bool) -> Column[bool]:
    value = text("true" if default else "false")
    return Column(name, Boolean, nullable=False, server_default=value)


def _text(name: str, default: str = "''") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text(default))


chat_providers = Table(
    "chat_providers",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    _text("display_name"),
    _text("api_key"),
    Column("api_key_key_id", Text),
    Column("created_by", UUID),
    _flag("enabled", True),
    _time("created_at"),
    _time("updated_at"),
    _text("base_url"),
    _flag("central_api_key_enabled", True),
    _flag("allow_user_api_key", False),
    _flag("allow_central_api_key_fallback", False),
    UniqueConstraint("provider"),
    CheckConstraint(
        "provider = any (array['anthropic', 'azure', 'bedrock', 'google', 'openai', "
        "'openai-compat', 'openrouter', 'vercel'])",
        name="chat_providers_provider_check",
    ),
    CheckConstraint(
        "(central_api_key_enabled or allow_user_api_key) and "
        "(not allow_central_api_key_fallback or "
        "(central_api_key_enabled and allow_user_api_key))",
        name="valid_credential_policy",
    ),
    Index("idx_chat_providers_enabled", "enabled"),
)

chat_model_configs = Table(
    "chat_model_configs",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    _text("display_name"),
    Column("created_by", UUID),
    Column("updated_by", UUID),
    _flag("enabled", True),
    _flag("is_default", False),
    _time("created_at"),
    _time("updated_at"),
    Column("context_limit", BigInteger, nullable=False),
    Column("compression_threshold", Integer, nullable=False),
    Column("options", JSONB, nullable=False, server_default=text("'{}'")),
    _flag("deleted", False),
    Column("deleted_at", DateTime(timezone=True)),
    CheckConstraint(
        "compression_threshold >= 0 and compression_threshold <= 100",
        name="chat_model_configs_compression_threshold_check",
    ),
    CheckConstraint("context_limit > 0", name="chat_model_configs_context_limit_check"),
    Index("idx_chat_model_configs_enabled", "enabled"),
    Index("idx_chat_model_configs_provider", "provider"),
    Index("idx_chat_model_configs_provider_model", "provider", "model"),
    Index(
        "idx_chat_model_configs_single_default",
        text("(1)"),
        unique=True,
        postgresql_where=text("is_default = true and deleted = false"),
    ),
)

chats = Table(
    "chats",
    metadata,
    _id(),
    Column("owner_id", UUID, nullable=False),
    _text("title", "'New Chat'"),
    Column(
        "status",
        Enum(
            *("waiting", "pending", "running", "paused", "completed", "error"),
            "requires_action",
            name="chat_status",
        ),
        nullable=False,
        server_default=text("'waiting'"),
    ),
    _time("created_at"),
    _time("updated_at"),
    Column(
        "last_model_config_id",
        UUID,
        ForeignKey("chat_model_configs.id"),
        nullable=False,
    ),
    _flag("archived", False),
    Index("idx_chats_last_model_config_id", "last_model_config_id"),
    Index("idx_chats_owner", "owner_id"),
    Index("idx_chats_pending", "status", postgresql_where=text("status = 'pending'")),
)

chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("chat_id", UUID, ForeignKey("chats.id", ondelete="CASCADE"), nullable=False),
    Column("model_config_id", UUID, ForeignKey("chat_model_configs.id")),
    _time("created_at"),
    Column(
        "role",
        Enum("system", "user", "assistant", "tool", name="chat_message_role"),
        nullable=False,
    ),
    Column("content", JSONB),
    Column("total_cost_micros", BigInteger),
    _flag("deleted", False),
    Index("idx_chat_messages_chat", "chat_id"),
    Index("idx_chat_messages_chat_created", "chat_id", "created_at"),
    Index("idx_chat_messages_created_at", "created_at"),
)

user_chat_provider_keys = Table(
    "user_chat_provider_keys",
    metadata,
    _id(),
    Column("user_id", UUID, nullable=False),
    Column(
        "chat_provider_id",
        UUID,
        ForeignKey("chat_providers.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("api_key", Text, nullable=False),
    Column("api_key_key_id", Text),
    _time("created_at"),
    _time("updated_at"),
    UniqueConstraint("user_id", "chat_provider_id"),
    CheckConstraint("api_key <> ''", name="user_chat_provider_keys_api_key_check"),
)
