"""Relations: tables are looked up once, and called by their whole name from then on.

Whoever may create objects on the search path can put a table, function or operator in the
way of another's statement, and it runs with that one's rights (CVE-2018-1058). So a name
is resolved by the caller's own path, once; statements then run on a path that holds
`pg_catalog` alone and reach their tables by `expose` and `Relation.sql`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import LiteralString

from sexton.database import Connection, rows, scalar
from sexton.errors import Refused
from sexton.postgres import trust
from sexton.postgres.session import SAFE_PATH as SAFE_PATH
from sexton.postgres.trust import JUDGEMENT, TRUST, Code, refusal


@dataclass(frozen=True, slots=True)
class Relation:
    """One table: its oid, its whole name, its owner, and pg_class.relkind.

    `readable` tells whether this role may read it, `foreign` whether it or a part of it is
    a foreign table. `trusted` and `code` say whose code runs when it is read or written,
    `owned` whether this role has its owner's rights.
    """

    oid: int
    schema: str
    name: str
    owner: str
    kind: str
    readable: bool = True
    foreign: bool = False
    trusted: bool = True
    code: tuple[Code, ...] = ()
    owned: bool = True

    @property
    def sql(self) -> str:
        """The whole name, quoted, as it stands in SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def refusal(self, *, writes: bool = False) -> Refused | None:
        """Why it is not read, or with `writes` not written; None if nothing is wrong."""
        name = f"{self.schema}.{self.name}"
        return refusal(name, self.kind, self.owner, self.code, writes=writes)


def quoted(name: str) -> str:
    """A name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a literal in SQL, with standard_conforming_strings on or off."""
    escaped = text.replace("'", "''")
    if "\\" not in escaped:
        return f"'{escaped}'"
    return "E'" + escaped.replace("\\", "\\\\") + "'"


def search_path(connection: Connection) -> list[str]:
    """The schemas in which the caller's names are looked up, in order."""
    return list(scalar(connection, f"select {PATH}", _noted(connection)))


# On a path of ours, the caller's is the one that was noted when we connected.
PATH: LiteralString = """
    case
        when pg_catalog.starts_with(
            pg_catalog.current_setting('search_path'), 'pg_catalog,'::pg_catalog.text
        ) then coalesce(
            %s::pg_catalog.text[], pg_catalog.current_schemas(true)::pg_catalog.text[]
        )
        else pg_catalog.current_schemas(true)::pg_catalog.text[]
    end
"""


def _noted(connection: Connection) -> list[str] | None:
    return getattr(connection, "sexton_path", None)


def resolve(
    connection: Connection, names: Iterable[str], *, judged: bool = True
) -> dict[str, Relation]:
    """The relations that names mean, `[schema.]name`; what is not there is left out.

    Raises Refused if a name means one owner's table and, further down the path, another's;
    and if reading a relation may run code of an owner who is not trusted. Callers that do
    not read the relation, or ask for its `refusal` themselves, say `judged=False`.
    """
    wanted = sorted(set(names))
    found: dict[str, list[Relation]] = {}
    for row in rows(
        connection,
        f"""
        with recursive {TRUST}
        select
            w.name as wanted, c.oid::pg_catalog.int8 as oid,
            n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name,
            pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text as owner,
            c.relkind::pg_catalog.text as kind,
            pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text)
            and pg_catalog.has_table_privilege(c.oid, 'select'::pg_catalog.text)
                as readable,
            pg_catalog.pg_has_role(c.relowner, 'usage'::pg_catalog.text) as owned,
            {JUDGEMENT}
        from pg_catalog.unnest(%s::pg_catalog.text[]) as w (name)
        join pg_catalog.pg_class c
          on c.relname::pg_catalog.text
             = pg_catalog.regexp_replace(w.name, '^[^.]*[.]'::text, ''::text)
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        left join pg_catalog.unnest({PATH})
            with ordinality as p (schema, ordinal)
          on p.schema = n.nspname::pg_catalog.text
        where c.relkind::pg_catalog.text = any (array['r', 'p', 'v', 'm', 'f'])
          and case
                when pg_catalog.strpos(w.name, '.'::text) > 0 then
                    n.nspname::pg_catalog.text
                        = pg_catalog.split_part(w.name, '.'::text, 1)
                else p.ordinal is not null
          end
        order by w.name, p.ordinal
        """,  # noqa: S608 - no value
        sorted(trust.named),
        wanted,
        _noted(connection),
    ):
        code = tuple(Code(**one) for one in row.pop("code") or ())
        found.setdefault(row.pop("wanted"), []).append(Relation(**row, code=code))
    for name, candidates in found.items():
        first, *others = candidates
        for other in others:
            if other.owner != first.owner:
                raise Refused(
                    f"two tables are called {name}: {first.owner}'s in the schema "
                    f"{first.schema} stands in the way of {other.owner}'s in "
                    f"{other.schema}",
                    hint="drop the one that does not belong there, or say which schema "
                    "is meant: PGOPTIONS='-c search_path=SCHEMA'",
                )
    relations = {name: candidates[0] for name, candidates in found.items()}
    for relation in relations.values() if judged else ():
        if refused := relation.refusal():
            raise refused
    return relations


def restriction(relations: Iterable[Relation]) -> dict[str, str]:
    """The setting that refuses views and foreign tables, but for those among `relations`.

    What was exchanged for a table after it was judged is not read; servers that do not
    have the setting are left without it.
    """
    found = list(relations)
    kinds = ["view", "foreign-table"]
    if any(relation.kind == "v" for relation in found):
        kinds = []  # it may be made of others, and of foreign tables
    elif any(relation.foreign for relation in found):
        kinds = ["view"]
    return {"restrict_nonsystem_relation_kind": ", ".join(kinds)}


def require_writable(relations: Iterable[Relation]) -> None:
    """Raise Refused if writing a relation may run code of an owner who is not trusted."""
    for relation in relations:
        if refused := relation.refusal(writes=True):
            raise refused


def expose(sql: str, relations: Mapping[str, Relation | str]) -> str:
    """A query in which names are tables, whatever the search path.

    Each name stands for its relation, or for the query that is given in its place.
    """
    if not relations:
        return sql
    tables = ", ".join(
        f"{quoted(name)} as not materialized ({_query(relation)})"
        for name, relation in relations.items()
    )
    return f"with {tables} select * from ({sql}) as exposed"  # noqa: S608


def _query(relation: Relation | str) -> str:
    if isinstance(relation, str):
        return relation
    return f"select * from {relation.sql}"  # noqa: S608


def column_names(relation: LiteralString, numbers: LiteralString) -> LiteralString:
    """SQL for the names of the columns whose numbers an array holds, in its order.

    Null stands for a number that is no column's, such as an expression's in an index.
    """
    return f"""array(
            select a.attname::pg_catalog.text
            from pg_catalog.unnest({numbers}) with ordinality as n (number, ordinal)
            left join pg_catalog.pg_attribute a
              on a.attrelid = {relation} and a.attnum = n.number
            order by n.ordinal
        )"""  # noqa: S608 - names of the catalogs


# A raw name; one that begins with a double quote is whole, and the server's to read.
REGCLASS = re.compile(r"(?:pg_catalog\.)?to_regclass\((E?)'((?:[^'\"]|'')(?:[^']|'')*)'\)")


def named(sql: str) -> set[str]:
    """The names in the `to_regclass('name')` of a catalog query."""
    return {_name(match) for match in REGCLASS.finditer(sql)}


def _name(match: re.Match[str]) -> str:
    name = match[2].replace("''", "'")
    return name.replace("\\\\", "\\") if match[1] else name


def bind(sql: str, relations: Mapping[str, Relation]) -> str:
    """A catalog query whose `to_regclass('name')` are the relations' oids, or null."""

    def oid(match: re.Match[str]) -> str:
        relation = relations.get(_name(match))
        number = relation.oid if relation else "null"
        return f"({number}::pg_catalog.oid::pg_catalog.regclass)"

    return REGCLASS.sub(oid, sql)


def has_heirs(connection: Connection, relation: Relation) -> bool:
    """Whether tables inherit from a table, other than partitions."""
    return bool(
        scalar(
            connection,
            """
            select exists (
                select from pg_catalog.pg_inherits i
                join pg_catalog.pg_class c on c.oid = i.inhparent
                where c.oid = %s::pg_catalog.oid and c.relkind = 'r'::pg_catalog."char"
            )
            """,
            relation.oid,
        )
    )
