"""Secrets: taken out of whatever is printed, logged or kept."""

import contextlib
import re

# How secrets are called in a URL's query, and where any word may stand before `=`.
_NAME = re.compile(r"(?i).*(pass|pwd|secret|token|key|auth|sig|credential).*")
_KEY = r"\w*(?:password|passwd|pwd|secret|token|api_?key)\w*"

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]*")
_PAIR = re.compile(rf"(?i)(?<![\w?&;#])({_KEY}\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s]+)")
_QUERY = re.compile(r"([?&;#])([^=&;#\s]*)(=?)([^&;#\s]*)")

# A URL of HTTP that holds no secret: scheme, host, port, and a path of plain characters.
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[A-Za-z0-9._~/:@+-]*)?"
PLAIN_URL = rf"(https?://{_HOST})?"
SHOWN_URL = rf"([A-Za-z][A-Za-z0-9+.-]*://)?(\*\*\*@)?{_HOST}"


def redact(text: str, address: str = "") -> str:
    """Take secrets out of a text: those of a connection string, and any of a URL.

    Of a URL go user and password, the values of a query that are called as secrets are,
    and, of an HTTP one, all of them. Of key=value pairs go the values of such keys.
    """
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _URL.sub(lambda found: _url(found[0]), text)
    return _PAIR.sub(r"\1***", text)


def _url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    end = re.search(r"[/?#]", rest)
    authority = rest[: end.start()] if end else rest
    _, colon, port = authority.rpartition(":")
    mistyped = colon and not port.isdigit() and not authority.endswith("]")
    if "@" in authority:
        rest = "***@" + authority.rpartition("@")[2] + rest[len(authority) :]
    elif "@" in rest and mistyped:
        # Unescaped, a password with a slash in it makes the authority end too early.
        rest = "***@" + rest.rpartition("@")[2]
    address, mark, query = _partition(rest)
    all_of_it = scheme.lower() in ("http", "https")

    def value(found: re.Match[str]) -> str:
        before, name, equals, said = found.groups()
        if equals and said and (all_of_it or _NAME.fullmatch(name)):
            return f"{before}{name}=***"
        if all_of_it and name and not equals:
            return f"{before}***"
        return found[0]

    return f"{scheme}://{address}" + _QUERY.sub(value, mark + query)


def _partition(rest: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", rest)
    if not found:
        return rest, "", ""
    return rest[: found.start()], found[0], rest[found.end() :]


def _secrets(address: str) -> set[str]:
    """The password, and what libpq may take a mistyped one for.

    Unescaped, `p@ss` makes `ss@host` the host, and `pa/ss` makes `pa` the port.
    """
    if not address:
        return set()
    import psycopg
    from psycopg import conninfo

    found = set()
    with contextlib.suppress(psycopg.Error):
        parameters = conninfo.conninfo_to_dict(address)
        found |= {str(parameters.get(name) or "") for name in ("password", "sslpassword")}
    if match := re.search(r"://[^:@/]*:(.*)@", address):
        found.update([match[1], *re.split(r"[@/?#:&=]", match[1])])
    return {secret for secret in found if secret}
