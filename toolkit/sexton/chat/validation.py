"""What may be written into a provider and a model config, as upstream has it.

A refusal says what is wrong in our words and what to type instead; upstream's own sentence
and HTTP status go with it, for documents (domain facts 2.9, 2.10 and 2.17).
"""

import contextlib
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sexton.chat.transaction import Row, Transaction
from sexton.errors import Refused
from sexton.text.redaction import PLAIN_URL, SHOWN_URL, redact
from sexton.text.storable import UNSTORABLE, unstorable

PROVIDERS = (
    *("anthropic", "azure", "bedrock", "google", "openai", "openai-compat"),
    *("openrouter", "vercel"),
)
KEYLESS = ("bedrock",)  # it may sign with the credentials of its surroundings
KEY_BYTES = 10240
LARGEST = 2**63 - 1  # of a bigint
DEFAULT_THRESHOLD = 70  # percent of the context at which a chat is compacted


def refuse(message: str, hint: str, upstream: str, status: int = 400) -> Refused:
    """A refusal, with upstream's words for it."""
    return Refused(message, hint=hint, upstream=upstream, status=status)


def provider_name(name: str) -> str:
    """The name as upstream stores it; raises Refused for one it does not know."""
    known = name.strip().lower()
    if known not in PROVIDERS:
        raise refuse(
            f"the product knows no provider {name!r}",
            f"one of: {', '.join(PROVIDERS)}",
            "Invalid provider.",
        )
    return known


def model_values(values: Mapping[str, Any], *, new: bool) -> Row:
    """A config's columns as they are to be written; raises Refused."""
    found = dict(values)
    if "provider" in found:
        found["provider"] = provider_name(found["provider"])
    for name in {"model", "display_name"} & found.keys():
        found[name] = _text(found[name], name)
    if not found.get("model", "m"):
        raise refuse(
            "the model's name is empty",
            "name the model as its provider does",
            "Model is required.",
        )
    limit = found.get("context_limit", 1)
    if limit is None or not 0 < limit <= LARGEST:
        said = "is required" if new else "must be greater than zero"
        raise refuse(
            f"the context limit is {limit}: it is a number of tokens, greater than zero",
            "--context-limit TOKENS",
            f"Context limit {said}.",
        )
    if not 0 <= found.get("compression_threshold", 0) <= 100:
        raise refuse(
            f"the compression threshold is {found['compression_threshold']}: "
            "it is a percentage, 0 to 100",
            "--compression-threshold PERCENT",
            "Invalid compression threshold.",
        )
    if "options" in found and (wrong := _wrong_options(found["options"])):
        raise refuse(
            f"the options {wrong}",
            "a JSON object, in which no price is negative",
            "Invalid model config.",
        )
    return found


def _wrong_options(options: object) -> str:
    if not isinstance(options, dict):
        return "are no JSON object"
    try:
        wrong = unstorable(options) or _negative_price(options)
    except RecursionError:
        return "are nested too deep"
    return f"hold {wrong}" if wrong else ""


def _negative_price(part: object, name: str = "") -> str:
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(part, dict):
        parts = part.items()
    elif isinstance(part, list):
        parts = ((name, value) for value in part)
    elif "price" in name:
        with contextlib.suppress(TypeError, ValueError):
            if float(part) < 0:  # type: ignore[arg-type]
                return f"a negative price: {name}"
    return next(filter(None, (_negative_price(value, key) for key, value in parts)), "")


def provider_values(values: Mapping[str, Any]) -> Row:
    """A provider's columns as they are to be written; raises Refused."""
    found = dict(values)
    if "provider" in found:
        found["provider"] = provider_name(found["provider"])
    for name in {"display_name", "api_key", "base_url"} & found.keys():
        found[name] = _text(found[name], name)
    if found.get("base_url") and not _absolute(found["base_url"]):
        raise refuse(
            # It is not shown: what is no URL may be the API key.
            "the base URL is no absolute address",
            "it looks like https://host/path",
            "Invalid provider base URL.",
        )
    if len(found.get("api_key", "").encode()) > KEY_BYTES:
        raise refuse(
            f"the API key is longer than {KEY_BYTES} bytes",
            "is it the right file?",
            "API key too large.",
        )
    return found


def _text(value: str, name: str) -> str:
    if UNSTORABLE.search(value):
        raise Refused(
            f"{name.replace('_', ' ')} is not a text: it has characters that PostgreSQL "
            "does not store",
            hint="is it the right file?",
        )
    return value.strip()


def _absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def without_secrets(url: str) -> str:
    """A base URL as far as it cannot hold a secret; `***` stands for the rest."""
    if re.fullmatch(PLAIN_URL, url):
        return url
    if "://" in url:
        said = redact(url)
    elif "@" in url:
        said = "***@" + url.rpartition("@")[2]
    else:
        return "***"
    if re.fullmatch(rf"{SHOWN_URL}([?&]([\w.-]+=)?\*\*\*)*", said):
        return said
    found = re.match(SHOWN_URL, said)
    return f"{found[0] if found else ''}***"


def check_policy(row: Mapping[str, Any], *, has_key: bool) -> None:
    """Insist on a credential policy that can work; raises Refused."""
    central, user = row["central_api_key_enabled"], row["allow_user_api_key"]
    fallback = row["allow_central_api_key_fallback"]
    if not (central or user) or (fallback and not (central and user)):
        raise refuse(
            "the provider's credential policy cannot work",
            "the central key or users' keys, or both; the fallback needs both",
            "Invalid credential policy.",
        )
    if central and not has_key and row["provider"] not in KEYLESS:
        raise refuse(
            "the central API key is to be used, and there is none",
            "give one with --key-file or --key-env, or use --no-central-key",
            "API key is required when central API key is enabled.",
        )


def check_unencrypted(tx: Transaction) -> None:
    """Refuse a plain key where the product encrypts its own."""
    if not tx.has("dbcrypt_keys", "active_key_digest"):
        return
    if tx.one(
        f"select 1 as found from {tx.sql('dbcrypt_keys')} "  # noqa: S608 - of ours
        "where active_key_digest is not null limit 1"
    ):
        raise Refused(
            "this database's keys are encrypted by the product, and Sexton cannot do that",
            hint="set the key in the product; leave it out here",
        )


def add_command(provider: str) -> str:
    """What to type for a provider that is not there."""
    return f"sexton provider add {shlex.quote(provider)}"
