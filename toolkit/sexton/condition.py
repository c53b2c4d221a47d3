"""Conditions: SQL of whoever declares a reference, kept inside its own expression.

A condition is one expression over the bare columns of its table. It may use PostgreSQL's
own functions and operators, those of extensions, and enumerated types; it may ask no other
table, and call nothing volatile and nothing that a user of the database made. What goes
beyond is refused before the server is given it.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sexton.database import Connection, rows
from sexton.text.printable import printable

LONGEST, DEEPEST = 10_000, 100  # what goes beyond is nobody's, and the server's stack ends
HINT = (
    "a condition is an expression over the table's own columns; functions and operators "
    "are PostgreSQL's own or an extension's, and not volatile"
)

# The first of these that fits is the next token: PostgreSQL's own rules. To it every
# character beyond ASCII is a letter, and no blank; and comments nest, so their end is
# looked for by hand. A string goes on after a line's end.
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_GAP = r"(?:[ \t\f\v]|--[^\r\n]*)*[\r\n](?:[ \t\r\n\f\v]|--[^\r\n]*[\r\n])*"
_ESCAPED, _PLAIN = r"'(?:[^'\\]|\\.|'')*'", r"'(?:[^']|'')*'"
_TOKEN = re.compile(
    rf"""
      (?P<blank> [ \t\r\n\f\v]+ | --[^\r\n]* )
    | (?P<comment> /\* )
    | (?P<coded> [uU]&" )
    | (?P<escaped> [eE]{_ESCAPED} (?: {_GAP} {_ESCAPED} )* )
    | (?P<string> (?: [uU]& )? {_PLAIN} (?: {_GAP} {_PLAIN} )*
      | (?P<tag> \$ (?: [{_LETTER}][{_LETTER}0-9]* )? \$ ) .*? (?P=tag) )
    | (?P<quoted> "(?: [^"] | "" )+" )
    | (?P<name> [{_LETTER}][{_LETTER}0-9$]* )
    | (?P<number> [0-9]+ )
    | (?P<sign> [^'";\x00{_LETTER}0-9] )
    """,
    re.DOTALL | re.VERBOSE,
)
_MARK = re.compile(r"/\*|\*/")
# A server may be told to read a backslash in any string, and then this does not end it.
_EITHER_WAY = re.compile(r"(?<!\\)(?:\\\\)*\\'")
_DOLLAR = re.compile(rf"\$(?:[{_LETTER}][{_LETTER}0-9]*)?\$")
_NAME_BYTES = 63  # PostgreSQL reads no more of a name


@dataclass(frozen=True)
class Token:
    """A name as the catalogs have it, a string, a number or one other sign.

    `start` and `end` are its place in the text.
    """

    kind: str  # name, quoted, string, number, sign
    text: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def named(self) -> bool:
        """Whether it may be the name of something."""
        return self.kind in ("name", "quoted")


def tokens(text: str) -> list[Token]:
    """What PostgreSQL reads in a text, without blanks and comments; raises ValueError."""
    found, at = list[Token](), 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        kind = token.lastgroup if token else None
        if token is None or kind is None or kind == "coded":
            raise ValueError(f"it cannot be read from `{printable(text[at : at + 20])}` on")
        said, at = token[kind], token.end()
        if kind == "comment":
            at = _end_of_comment(text, at)
        elif kind in ("escaped", "string"):
            if kind == "string" and not said.startswith("$") and _EITHER_WAY.search(said):
                raise ValueError("a backslash before a quote takes E'…\\\\…'")
            found.append(Token("string", said, token.start(), at))
        elif kind == "sign" and _DOLLAR.match(text, token.start()):
            raise ValueError(f"the string {said}… does not end")
        elif kind != "blank":
            found.append(Token(kind, _spelt(kind, said), token.start(), at))
    return found


def _end_of_comment(text: str, at: int) -> int:
    depth = 1
    while depth:
        mark = _MARK.search(text, at)
        if mark is None:
            raise ValueError("a comment does not end")
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return at


def _spelt(kind: str, said: str) -> str:
    if kind == "quoted":
        said = said[1:-1].replace('""', '"')
    elif kind == "name":  # PostgreSQL folds ASCII alone
        said = re.sub("[A-Z]+", lambda capitals: capitals[0].lower(), said)
    else:
        return said
    return said.encode()[:_NAME_BYTES].decode(errors="ignore")


def closed(text: str) -> None:
    """Insist on one SQL condition, closed in itself; raises ValueError."""
    why = f", and more than {LONGEST:,} characters long" if len(text) > LONGEST else ""
    depth = deepest = 0
    try:
        read = [] if why else tokens(text)
    except ValueError as error:
        read, why = [], f": {error}"
    for token in read:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if deepest > DEEPEST:
        why = f": it is more than {DEEPEST} brackets deep"
    if depth or why or not read:
        shown = printable(text if len(text) <= LONGEST else f"{text[:40]}…")
        raise ValueError(f"`{shown}` is no SQL condition, closed in itself{why}")


def implies(predicate: str, text: str) -> bool:
    """Whether a predicate of the catalogs says, among others, what a condition says.

    Told by their texts alone: what is spelt in other words is not known to be implied.
    """
    try:
        return _conjuncts(tokens(text)) <= _conjuncts(tokens(predicate))
    except ValueError:
        return False


def _conjuncts(read: list[Token]) -> set[tuple[str, ...]]:
    """What AND joins, each part without brackets, casts and the ways to spell a boolean."""
    parts, alternatives, depth = [list[Token]()], False, 0
    for token in read:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        word = token.text if token.kind == "name" and not depth else ""
        alternatives = alternatives or word == "or"
        if word == "and":
            parts.append([])
        else:
            parts[-1].append(token)
    if alternatives:
        return {tuple(token.text for token in read)}
    if len(parts) > 1:
        return {one for part in parts for one in _conjuncts(part)}
    if _bracketed(read):
        return _conjuncts(read[1:-1])
    if any(token.kind == "name" and token.text in ("and", "or") for token in read):
        return {tuple(token.text for token in read)}
    return {_plain(read)}


def _bracketed(read: list[Token]) -> bool:
    """Whether one pair of brackets is around all of it."""
    depth = 0
    for n, token in enumerate(read):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if depth == 0:
            return n > 0 and n == len(read) - 1
    return False


def _plain(read: list[Token]) -> tuple[str, ...]:
    found, at = list[str](), 0
    while at < len(read):
        if [token.text for token in read[at : at + 2]] == [":", ":"]:
            _, at = _chain(read, at + 2)
        else:
            found += [] if read[at].text in ("(", ")") else [read[at].text]
            at += 1
    said = " ".join(found).replace("! =", "< >")
    for form in (r"(.+) = false", r"(.+) is (?:false|not true)", r"false = (.+)"):
        if spelt := re.fullmatch(form, said):
            said = f"not {spelt[1]}"
    return tuple(said.split(" "))


def beyond(connection: Connection, text: str) -> str | None:
    """Where a condition goes beyond its row, in words; None where it does not.

    Asks the catalogs what the functions, operators and types are that it names. Reads
    only, with pg_catalog alone in sight or not. Raises ValueError as `closed` does.
    """
    read = tokens(text)
    for token, following in itertools.pairwise([*read, Token("sign", "")]):
        opens = token.text == "values" and following.text == "("
        if token.kind == "name" and (token.text in ("select", "table") or opens):
            return "asks more than its own row: a sub-select"
    named = list(_named(read))
    if not named:
        return None
    kinds, schemas, names = (list(part) for part in zip(*named, strict=True))
    for row in rows(connection, FOREIGN, kinds, schemas, names):
        return f"uses {printable(row['what'])}, {row['why']}"
    return None


def _named(read: list[Token]) -> Iterator[tuple[str, str, str]]:
    """What is called or named with a schema: (f, o or t for its kind, schema, name)."""
    at = 0
    while at < len(read):
        chain, end = _chain(read, at)
        following = read[end].text if end < len(read) and read[end].kind == "sign" else ""
        if chain[1:]:
            yield "f" if following == "(" else "t", chain[-2], chain[-1]
        elif chain and following == "(":
            yield "f", "pg_catalog", chain[0]
            if chain[0] == "operator":
                yield from _operator(read, end + 1)
        at = max(end, at + 1)


def _operator(read: list[Token], at: int) -> Iterator[tuple[str, str, str]]:
    chain, end = _chain(read, at)
    signs = itertools.takewhile(lambda one: one.text != ")", read[end:])
    if chain:
        yield "o", chain[-1], "".join(one.text for one in signs).removeprefix(".")


def _chain(read: list[Token], at: int) -> tuple[list[str], int]:
    """The names that dots hold together from there on, and where they end."""
    chain = list[str]()
    while at < len(read) and read[at].named:
        chain.append(read[at].text)
        at += 1
        dotted = read[at : at + 2]
        if len(dotted) < 2 or dotted[0] != Token("sign", ".") or not dotted[1].named:
            break
        at += 1
    return chain, at


FOREIGN = """
    with named as (
        select distinct w.kind, w.schema, w.name
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[])
        ) as w (kind, schema, name)
    ), used as (
        select w.kind, w.schema, w.name, p.oid as function, null::pg_catalog.oid as type
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_proc p
          on p.pronamespace = n.oid and p.proname::pg_catalog.text = w.name
        where w.kind = 'f'::pg_catalog.text
        union all
        select w.kind, w.schema, w.name, o.oprcode::pg_catalog.oid, null::pg_catalog.oid
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_operator o
          on o.oprnamespace = n.oid and o.oprname::pg_catalog.text = w.name
        where w.kind = 'o'::pg_catalog.text
        union all
        select w.kind, w.schema, w.name, null::pg_catalog.oid, t.oid
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_type t
          on t.typnamespace = n.oid and t.typname::pg_catalog.text = w.name
         and t.typtype <> 'e'::pg_catalog."char"
        where w.kind = any (array['t', 'f']::pg_catalog.text[])
    ), judged as (
        select u.*,
               p.provolatile = 'v'::pg_catalog."char" as volatile,
               u.schema <> 'pg_catalog'::pg_catalog.text and not exists (
                   select from pg_catalog.pg_depend d
                   where d.deptype = 'e'::pg_catalog."char"
                     and d.classid = case
                             when u.type is null
                                 then 'pg_catalog.pg_proc'::pg_catalog.regclass
                             else 'pg_catalog.pg_type'::pg_catalog.regclass
                         end::pg_catalog.oid
                     and d.objid = coalesce(u.type, u.function)
               ) as made
        from used u
        left join pg_catalog.pg_proc p on p.oid = u.function
    )
    select pg_catalog.concat(
               j.schema, '.'::pg_catalog.text, j.name,
               case when j.kind = 'f'::pg_catalog.text then '()'::pg_catalog.text end
           ) as what,
           case when j.made then 'which a user of the database made'::pg_catalog.text
                else 'which is volatile'::pg_catalog.text end as why
    from judged j
    where j.made or j.volatile
    order by j.made desc, j.schema, j.name
"""
