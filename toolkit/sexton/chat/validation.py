"""What may be written into a provider and a model config: upstream's words for no.

Every message is upstream's own sentence, with its HTTP status; what to type instead is in
the hint (domain facts 2.9, 2.10 and 2.17).
"""

from collections.abc import Mapping
from typing import Any

from sexton.database import Connection, scalar
from sexton.errors import Refused
from sexton.schema import has

PROVIDERS = (
    *("anthropic", "azure", "bedrock", "google", "openai", "openai-compat"),
    *("openrouter", "vercel"),
)
KEY_BYTES = 10240
LARGEST = 2**63 - 1  # of a bigint
DEFAULT_THRESHOLD = 70  # percent of the context at which a chat is compacted


def refuse(message: str, hint: str, status: int = 400) -> Refused:
    """A refusal in upstream's words."""
    return Refused(message, hint=hint, status=status)


def check_provider_name(name: str) -> None:
    """Insist on one of the names that chat_providers allows; raises Refused."""
    if name not in PROVIDERS:
        raise refuse("Invalid provider.", f"one of: {', '.join(PROVIDERS)}")


def check_model(values: Mapping[str, Any]) -> None:
    """Insist on sound values for the columns given; raises Refused."""
    if "provider" in values:
        check_provider_name(values["provider"])
    if "model" in values and not values["model"].strip():
        raise refuse("Model is required.", "name the model as its provider does")
    limit = values.get("context_limit", 1)
    if limit is None or not 0 < limit <= LARGEST:
        raise refuse(
            "Context limit is required.", "context_limit must be greater than zero"
        )
    if not 0 <= values.get("compression_threshold", 0) <= 100:
        raise refuse("Invalid compression threshold.", "a percentage: 0 to 100")
    if "options" in values and not _sound(values["options"]):
        raise refuse(
            "Invalid model config.", "a JSON object, in which no price is negative"
        )


def _sound(options: object) -> bool:
    return isinstance(options, dict) and not _negative_price(options)


def _negative_price(part: object, name: str = "") -> bool:
    if isinstance(part, dict):
        return any(_negative_price(value, key) for key, value in part.items())
    if isinstance(part, list):
        return any(_negative_price(value, name) for value in part)
    try:
        return "price" in name and float(part) < 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def check_policy(row: Mapping[str, Any]) -> None:
    """Insist on a credential policy that can work; raises Refused."""
    central, user = row["central_api_key_enabled"], row["allow_user_api_key"]
    fallback = row["allow_central_api_key_fallback"]
    if not (central or user) or (fallback and not (central and user)):
        raise refuse(
            "Invalid credential policy.",
            "the central key or users' keys, or both; the fallback needs both",
        )
    if central and not row["api_key"]:
        raise refuse(
            "API key is required when central API key is enabled.",
            "give one with --key-file or --key-env, or use --no-central-key",
        )


def check_key(connection: Connection, key: str) -> None:
    """Insist on a key that the product could use; raises Refused."""
    if len(key.encode()) > KEY_BYTES:
        raise refuse(f"API key is longer than {KEY_BYTES} bytes.", "is it the right file?")
    if "\x00" in key:
        raise refuse("API key is not a text.", "is it the right file?")
    if has(connection, "dbcrypt_keys", "active_key_digest") and scalar(
        connection,
        "select exists (select from dbcrypt_keys where active_key_digest is not null)",
    ):
        raise Refused(
            "this database's keys are encrypted by the product, and Sexton cannot do that",
            hint="set the key in the product; leave it out here",
        )
