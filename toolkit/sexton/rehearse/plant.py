"""Planted rows: one in every table, and for each new constraint those that violate it."""

import contextlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from sexton.postgres.connect import Connection
from sexton.rehearse.catalog import OURS

COLUMNS = """
    select a.attname as name, a.attnotnull as filled, t.typname as type, t.typtype as kind,
           t.typcategory as category, a.atttypmod as modifier, a.attnum as number,
           format_type(a.atttypid, a.atttypmod) as spelled,
           coalesce(b.typname, t.typname) as plain,
           a.atthasdef or a.attidentity <> '' as defaulted, a.attgenerated <> '' as made,
           a.attidentity = 'a' as always,
           (select array_agg(e.enumlabel::text order by e.enumsortorder)
            from pg_enum e where e.enumtypid = t.oid) as labels
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    left join pg_type b on b.oid = nullif(t.typbasetype, 0)
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""
KEYS = """
    select n.nspname as schema, p.relname as parent, c.confrelid = c.conrelid as itself,
           (select array_agg(a.attname::text order by o) from
            unnest(c.conkey) with ordinality k(n, o) join pg_attribute a
            on a.attrelid = c.conrelid and a.attnum = k.n) as columns,
           (select array_agg(a.attname::text order by o) from
            unnest(c.confkey) with ordinality k(n, o) join pg_attribute a
            on a.attrelid = c.confrelid and a.attnum = k.n) as keys
    from pg_constraint c join pg_class p on p.oid = c.confrelid
    join pg_namespace n on n.oid = p.relnamespace
    where c.contype = 'f' and c.conrelid = %s::regclass
"""
CHECKS = """
    select pg_get_constraintdef(oid) as text from pg_constraint
    where contype = 'c' and conrelid = %s::regclass
"""
# What a revision may add: constraints, unique indexes, NOT NULL, and another type.
RULES = f"""
    select c.contype::text as kind, s.nspname as schema, t.relname as table,
           c.conname::text as name,
           (select array_agg(a.attname::text order by o) from
            unnest(c.conkey) with ordinality k(n, o) join pg_attribute a
            on a.attrelid = c.conrelid and a.attnum = k.n) as columns,
           case when c.contype = 'c' then pg_get_expr(c.conbin, c.conrelid) end
           as condition,
           null as spelled
    from pg_constraint c join pg_class t on t.oid = c.conrelid
    join pg_namespace s on s.oid = t.relnamespace
    where c.contype in ('c', 'f', 'u', 'p', 'x') and s.nspname not in {OURS}
    union all
    select 'i', s.nspname, t.relname, x.relname,
           coalesce((select array_agg(a.attname::text) from pg_attribute a
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey)), '{{}}'),
           pg_get_expr(i.indpred, i.indrelid), null
    from pg_index i join pg_class t on t.oid = i.indrelid
    join pg_class x on x.oid = i.indexrelid
    join pg_namespace s on s.oid = t.relnamespace
    where i.indisunique and s.nspname not in {OURS} and not exists (
        select from pg_constraint c where c.conindid = i.indexrelid
        and c.contype in ('u', 'p', 'x'))
    union all
    select case when a.attnotnull then 'n' else 't' end, s.nspname, t.relname, a.attname,
           array[a.attname::text], null, format_type(a.atttypid, a.atttypmod)
    from pg_attribute a join pg_class t on t.oid = a.attrelid
    join pg_namespace s on s.oid = t.relnamespace
    where a.attnum > 0 and not a.attisdropped and t.relkind in ('r', 'p')
      and s.nspname not in {OURS}
"""  # noqa: S608
TRIES = 300  # of combinations of values
WORDS = re.compile(r"'((?:[^']|'')*)'|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])")
EXTREMES: dict[str, list[object]] = {
    "int8": [9223372036854775807],
    "int4": [2147483647],
    "numeric": ["1e30"],
    "float8": ["1e300"],
    "text": ["not a number", "x" * 300],
    "varchar": ["not a number", "x" * 300],
    "timestamptz": ["infinity"],
    "timestamp": ["infinity"],
}

_numbers = itertools.count(1)  # what one planter has planted, another must not repeat

Name = tuple[str, str]
RuleKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Rule:
    """Something that a database insists on."""

    kind: str
    table: Name
    name: str
    columns: tuple[str, ...]
    condition: str | None
    spelled: str | None


class NotPlanted(Exception):
    """No row could be made; its text says why."""


def rules_of(connection: Connection) -> dict[RuleKey, Rule]:
    """What the database insists on, and the types of its columns."""
    found = {}
    for row in connection.execute(RULES).fetchall():
        table = (row["schema"], row["table"])
        rule = Rule(
            row["kind"],
            table,
            row["name"],
            tuple(row["columns"] or ()),
            row["condition"],
            row["spelled"],
        )
        found[(rule.kind, *table, rule.name)] = rule
    return found


def added(
    before: Mapping[RuleKey, Rule],
    after: Mapping[RuleKey, Rule],
    columns: Mapping[Name, Sequence[str]],
) -> list[Rule]:
    """What a revision has added to tables that were there, about columns that were."""
    types = {(*r.table, r.name): r.spelled for r in before.values() if r.kind in "nt"}
    found = []
    for key, rule in after.items():
        there = columns.get(rule.table)
        if there is None or not set(rule.columns) <= set(there):
            continue
        if rule.kind in "nt":
            was = types[(*rule.table, rule.name)]
            if was != rule.spelled:
                found.append(Rule("t", rule.table, rule.name, rule.columns, None, was))
        if rule.kind != "t" and key not in before:
            found.append(rule)
    return found


def without_equality(
    before: Mapping[RuleKey, Rule],
    after: Mapping[RuleKey, Rule],
    tables: Collection[Name],
) -> list[str]:
    """The columns of older tables that have become json: SELECT DISTINCT fails on them."""
    were = {(*rule.table, rule.name): rule.spelled for rule in before.values()}
    return [
        f"{rule.table[1]}.{rule.name}"
        for rule in after.values()
        if rule.kind in "nt"
        and rule.table in tables
        and rule.spelled == "json" != were.get((*rule.table, rule.name))
    ]


class Planter:
    """Plants rows in one database, on a connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._planting: list[Name] = []

    def plant(self, table: Name) -> None:
        """Plant a row that every rule allows; raises NotPlanted."""
        self._insert(table, {})

    def violate(self, rule: Rule) -> bool:
        """Plant rows that a rule forbids; False if the database has no room for them.

        Raises NotPlanted if it is not known how.
        """
        table = rule.table
        if rule.kind == "n":
            return self._try(table, {rule.columns[0]: None})
        if rule.kind == "t":
            return self._extremes(rule)
        if rule.kind == "f":
            columns = {one["name"]: one for one in self._columns(table)}
            fresh = {name: self._value(columns[name]) for name in rule.columns}
            return self._try(table, fresh)
        if rule.kind == "c":
            assert rule.condition is not None
            condition = f"({rule.condition}) is false"
            return any(self._matching(table, {}, condition, rule.condition))
        return self._twice(rule)

    # -- inside ------------------------------------------------------------------------

    def _twice(self, rule: Rule) -> bool:
        if rule.condition is None:
            first = self._insert(rule.table, {})
        else:
            found = self._matching(rule.table, {}, rule.condition, rule.condition)
            first = next(found, {})
            if not first:
                raise NotPlanted(f"no row was found for which {rule.condition}")
        columns = {one["name"]: one for one in self._columns(rule.table)}
        same = {name: first[name] for name in rule.columns if name in first}
        for name, value in same.items():
            if value is None:  # of NULLs there may be many
                same[name] = self._value(columns[name])
        about = rule.condition or ""
        same |= {n: first[n] for n in columns if re.search(rf"\b{re.escape(n)}\b", about)}
        planted = [self._try(rule.table, same) for _ in range(2)]
        return all(planted) or (planted[0] and None in first.values())

    def _extremes(self, rule: Rule) -> bool:
        column = next(c for c in self._columns(rule.table) if c["name"] == rule.name)
        limit = column["modifier"] - 4
        values = list(EXTREMES.get(column["plain"], []))
        if column["category"] == "S" and limit > 0:
            values = [value for value in values if len(str(value)) <= limit]
            values.append("x" * limit)
        planted = [self._try(rule.table, {rule.name: value}) for value in values]
        return any(planted)

    def _matching(
        self, table: Name, given: dict[str, Any], condition: str, words: str
    ) -> Iterator[dict[str, Any]]:
        """Plant one row for which a condition is true, and yield its values."""
        columns = [
            c
            for c in self._columns(table)
            if re.search(rf"\b{re.escape(c['name'])}\b", words)
        ]
        choices = [self._candidates(column, words) for column in columns]
        for values in itertools.islice(itertools.product(*choices), TRIES):
            chosen = dict(zip((c["name"] for c in columns), values, strict=True))
            with contextlib.suppress(NotPlanted, psycopg.Error):
                yield self._insert(table, given | chosen, condition)
                return

    def _try(self, table: Name, values: dict[str, Any]) -> bool:
        try:
            self._insert(table, values)
        except NotPlanted:
            return False
        return True

    def _insert(
        self, table: Name, given: dict[str, Any], condition: str = "true"
    ) -> dict[str, Any]:
        if table in self._planting:
            raise NotPlanted(f"{table[1]} references itself by way of others")
        self._planting.append(table)
        try:
            return self._insert_row(table, given, condition)
        finally:
            self._planting.pop()

    def _insert_row(
        self, table: Name, given: dict[str, Any], condition: str
    ) -> dict[str, Any]:
        columns = {one["name"]: one for one in self._columns(table)}
        values: dict[str, Any] = {}
        for name, column in columns.items():
            if name in given:
                values[name] = given[name]
            elif column["filled"] and not (column["defaulted"] or column["made"]):
                values[name] = self._value(column)
        for key in self._keys(table):
            needed = [name for name in key["columns"] if name in values]
            if needed and not any(name in given for name in key["columns"]):
                values |= self._parents(key)
        try:
            return self._send(table, values, condition)
        except psycopg.errors.CheckViolation:
            pass
        except psycopg.Error as error:
            raise NotPlanted(str(error).partition("\n")[0]) from None
        words = " ".join(row["text"] for row in self._rows(CHECKS, table))
        free = [
            c
            for c in columns.values()
            if c["name"] not in given and re.search(rf"\b{re.escape(c['name'])}\b", words)
        ]
        choices = [self._candidates(column, words) for column in free]
        for chosen in itertools.islice(itertools.product(*choices), TRIES):
            more = dict(zip((c["name"] for c in free), chosen, strict=True))
            with contextlib.suppress(psycopg.Error):
                return self._send(table, values | more, condition)
        raise NotPlanted(f"no row was found that the checks of {table[1]} allow")

    def _send(self, table: Name, values: dict[str, Any], condition: str) -> dict[str, Any]:
        names = [sql.Identifier(name) for name in values]
        query = sql.SQL(
            "insert into {} {} {} returning *, ({}) is true as sexton_fits"
        ).format(
            sql.Identifier(*table),
            sql.SQL("({})").format(sql.SQL(", ").join(names)) if names else sql.SQL(""),
            sql.SQL("overriding system value values ({})").format(
                sql.SQL(", ").join([sql.Placeholder()] * len(names))
            )
            if names
            else sql.SQL("default values"),
            sql.SQL(condition),
        )
        with self.connection.transaction():
            row = self.connection.execute(query, list(values.values())).fetchone()
            assert row is not None
            if not row.pop("sexton_fits"):
                raise NotPlanted("the row is not what was looked for")
        return dict(row)

    def _parents(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a parent's row for a key's columns; the row is planted if need be."""
        parent = (key["schema"], key["parent"])
        query = sql.SQL("select {} from {} limit 1").format(
            sql.SQL(", ").join(map(sql.Identifier, key["keys"])), sql.Identifier(*parent)
        )
        row = self.connection.execute(query).fetchone()
        if row is None:
            if key["itself"]:
                return {}
            row = self._insert(parent, {})
        return dict(zip(key["columns"], (row[name] for name in key["keys"]), strict=True))

    def _rows(self, query: str, table: Name) -> list[dict[str, Any]]:
        name = sql.Identifier(*table).as_string(self.connection)
        return self.connection.execute(query, (name,)).fetchall()

    def _columns(self, table: Name) -> list[dict[str, Any]]:
        return self._rows(COLUMNS, table)

    def _keys(self, table: Name) -> list[dict[str, Any]]:
        return self._rows(KEYS, table)

    def _candidates(self, column: Mapping[str, Any], words: str) -> list[Any]:
        """Values that a condition may be about: its own constants, and usual ones."""
        category = column["category"]
        named = [word[0] or word[1] for word in WORDS.findall(words)]
        if column["labels"]:
            return list(column["labels"])
        if category == "N":
            numbers = [word for word in named if re.fullmatch(r"\d+(\.\d+)?", word)]
            nearby = [str(int(float(n)) + d) for n in numbers for d in (0, 1, -1)]
            return [next(_numbers), *nearby, 0, -1]
        if category == "S":
            texts = [word for word in named if not word.isdigit()]
            return [self._value(column), *texts, "", "a@b.example", "x" * 300]
        if category == "B":
            return [True, False]
        if category == "D":
            return ["2001-01-01", "2099-01-01"]
        return [self._value(column)]

    def _value(self, column: Mapping[str, Any]) -> Any:
        """A value of a column's type that no other row has."""
        number = next(_numbers)
        kind, category = column["plain"], column["category"]
        if column["labels"]:
            return column["labels"][0]
        if category == "N":
            return number
        if category == "S":
            text = f"planted {number}"
            limit = column["modifier"] - 4
            return (
                text if limit < 0 or len(text) <= limit else str(number)[-max(limit, 1) :]
            )
        if category == "A":
            return "{}"
        if category == "B":
            return False
        if category == "R":
            return "empty"
        known = {
            "uuid": f"00000000-0000-4000-9000-{number:012d}",
            "json": "{}",
            "jsonb": "{}",
            "bytea": b"planted %d" % number,
            "interval": f"{number} seconds",
            "date": "2001-01-01",
            "time": "12:00",
            "timetz": "12:00+00",
            "inet": f"10.0.{number // 250 % 250}.{number % 250}",
            "cidr": "10.0.0.0/8",
            "macaddr": "08:00:2b:01:02:03",
            "xml": "<planted/>",
            "tsvector": "planted",
            "bit": "0" * max(column["modifier"], 1),
            "varbit": "0",
            "point": "(0,0)",
        }
        if kind in known:
            return known[kind]
        if category == "D":
            return f"2001-01-01 00:00:{number % 60:02d}.{number % 1000:03d}"
        raise NotPlanted(f"no value is known of the type {column['spelled']}")
