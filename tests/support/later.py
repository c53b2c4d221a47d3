"""Rows for the product's tables since v2.34."""

import uuid
from typing import Any

from sexton.database import Connection, scalar
from tests.support.upstream import build_later

ORGANIZATION = uuid.UUID(int=0xA)


class Later:
    """A database of a later release, `v236` or `main`, with one organization and user."""

    def __init__(self, connection: Connection, release: str) -> None:
        self.connection, self.main = connection, release == "main"
        build_later(connection, release)
        self.user = self.add_user()
        self.organization(ORGANIZATION)

    def insert(self, table: str, /, **values: Any) -> Any:
        """Insert a row and return its id, if it has one."""
        names = ", ".join(values)
        row: Any = (
            f"insert into {table} ({names}) values "
            f"({', '.join(['%s'] * len(values))}) returning *"
        )
        cursor = self.connection.execute(row, list(values.values()))
        found: Any = cursor.fetchone()
        return found[0] if isinstance(found, tuple) else found.get("id")

    def add_user(self, **columns: Any) -> Any:
        """A user."""
        name = uuid.uuid4().hex
        values = {"id": uuid.uuid4(), "email": f"{name}@example.com", "username": name}
        times = dict.fromkeys(("created_at", "updated_at"), "2026-01-01")
        return self.insert("users", **values, hashed_password=b"", **times, **columns)

    def organization(self, id: uuid.UUID) -> uuid.UUID:
        """An organization."""
        times = dict.fromkeys(("created_at", "updated_at"), "2026-01-01")
        more = {"name": str(id), "description": "", "display_name": ""}
        self.insert("organizations", id=id, **times, **more, default_org_member_roles=[])
        return id

    def provider(self, name: str, type: str = "openai", **columns: Any) -> Any:
        """A provider."""
        return self.insert("ai_providers", name=name, type=type, base_url="", **columns)

    def model(self, provider: Any, model: str, **columns: Any) -> Any:
        """A live model config, of the organization if there are any."""
        if self.main:
            columns.setdefault("organization_id", ORGANIZATION)
        if columns.get("deleted"):
            columns.setdefault("deleted_at", "2026-02-01")
        limits = {"context_limit": 1000, "compression_threshold": 70}
        times = dict.fromkeys(("created_at", "updated_at"), "2026-02-01")
        values = {**limits, **times, **columns}
        return self.insert(
            "chat_model_configs", ai_provider_id=provider, model=model, **values
        )

    def chat(self, model: Any) -> Any:
        """A chat that last used a model."""
        return self.insert(
            "chats",
            owner_id=self.user,
            organization_id=ORGANIZATION,
            last_model_config_id=model,
        )

    def site(self, key: str, value: Any) -> None:
        """A setting of the site."""
        self.connection.execute(
            "insert into site_configs values (%s, %s)", (key, str(value))
        )

    def personal(self, key: str, value: Any) -> None:
        """A setting of the user."""
        self.connection.execute(
            "insert into user_configs values (%s, %s, %s)", (self.user, key, str(value))
        )

    def execute(self, query: str, *parameters: Any) -> None:
        """Run a statement."""
        statement: Any = query
        self.connection.execute(statement, parameters or None)

    def default(self, organization: uuid.UUID | None = None) -> Any:
        """The model that is the default."""
        one = "and organization_id = %s" if organization else ""
        return scalar(
            self.connection,
            f"select model from chat_model_configs where is_default and not deleted {one}",
            *filter(None, [organization]),
        )
