"""Traps: what somebody with CREATE can put in the way of a statement, and hears of it.

Each trap belongs to a role without rights. Run by a superuser it says so twice: in a
warning, and in a file, which no rollback undoes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from tests.support.statements import Use

INTRUDER = "intruder"
SPRUNG = "a trap was sprung: "

BODY = """
    language plpgsql volatile as $trap$
    begin
        if (select rolsuper from pg_catalog.pg_roles
            where rolname operator(pg_catalog.=) current_user)
           and pg_catalog.current_setting('trap.{number}', true) is null then
            perform pg_catalog.set_config('trap.{number}', 'sprung', false);
            raise warning '%', '{said}' operator(pg_catalog.||) ' by: '
                operator(pg_catalog.||) pg_catalog.left(pg_catalog.current_query(), 2000);
            execute $copy$copy (select 1) to '{file}'$copy$;
        end if;
        begin
            {ends}
        exception when others then
            return{null};
        end;
    end $trap$
"""
# Operators of utility statements, whose types the tree does not say.
IMPOSSIBLE = {'"any"', "unknown", "cstring", "internal"}  # of no function of ours
PAIRS = [
    ("text", "name"),
    ("name", "text"),
    ("varchar", "varchar"),
    ("varchar", "text"),
    ("text", "varchar"),
    ("name", "name"),
    ("int2", "int4"),
    ("int4", "int4"),
    ("boolean", "boolean"),
]


class Traps:
    """The statements that plant what `uses` and `raw` names allow."""

    def __init__(self, connection: psycopg.Connection[Any], directory: Path) -> None:
        self.connection = connection
        self.directory = directory
        self.planted: dict[str, str] = {}
        query = "select oid, format_type(oid, null) from pg_type"
        self.types: dict[int, str] = dict(connection.execute(query).fetchall())

    def of(self, uses: Iterable[Use], raw: Iterable[tuple[str, int]]) -> dict[str, str]:
        """The traps by what they are called; those that cannot be are left out."""
        for use in sorted(uses, key=lambda u: (u.kind, u.name, u.arguments, u.result)):
            for signature in use.signatures():
                self._plant(use.kind, use.name, list(signature), use.result, use.many)
        for name, count in sorted(raw):
            self._raw(name, count)
        return self.planted

    def _raw(self, name: str, count: int) -> None:
        if not name.isidentifier():
            for pair in PAIRS if count == 2 else []:
                result = "text" if name == "||" else "boolean"
                self._plant("o", name, list(pair), result, False)
            return
        query = """
            select proargtypes::oid[], prorettype, proretset from pg_proc
            where proname = %s and pronargs = %s and prokind = 'f' and pronamespace = 11
            order by oid
        """
        for types, result, many in self.connection.execute(query, (name, count)).fetchall():
            for other in ("", "text", "name", "varchar"):
                named = [
                    other if other and self.types[t] in ("text", '"any"') else self.types[t]
                    for t in types
                ]
                self._plant("f", name, named, self.types[result], many)

    def _plant(
        self, kind: str, name: str, types: list[str], result: str, many: bool
    ) -> None:
        if (
            not all(types)
            or '"any"' in types
            or "unknown" in types
            or "cstring" in types
            or "internal" in types
        ):
            return
        label = f"{name}({', '.join(types)})"
        if f"{kind} {label}" in self.planted:
            return
        number = len(self.planted)
        file = self.directory / str(number)
        if kind == "o":
            statement = self._operator(name, types, result, number, label, file)
        elif kind == "a":
            if not types:
                return
            statement = self._aggregate(name, types, number, label, file)
        else:
            returns = f"setof {result}" if many else result
            head = f"create function public.{_quoted(name)}({', '.join(types)}) returns "
            call = f"pg_catalog.{_quoted(name)}({_places(types)})"
            ends = (
                f"return query select * from {call}; return" if many else f"return {call}"
            )
            null = "" if many or result == "void" else " null"
            if result == "void":
                ends = f"perform {call}; return"
            statement = head + returns + _body(label, file, ends, null)
        self.planted[f"{kind} {label}"] = statement

    def _operator(
        self, name: str, types: list[str], result: str, number: int, label: str, file: Path
    ) -> str:
        sides = ["rightarg"] if len(types) == 1 else ["leftarg", "rightarg"]
        arguments = ", ".join(f"{s} = {t}" for s, t in zip(sides, types, strict=True))
        left = "" if len(types) == 1 else "$1 "
        call = f"{left}operator(pg_catalog.{name}) ${len(types)}"
        return (
            f"create function public.trap_{number}({', '.join(types)}) returns {result}"
            + _body(label, file, f"return {call}", " null")
            + f"; create operator public.{name} "
            f"({arguments}, function = public.trap_{number})"
        )

    def _aggregate(
        self, name: str, types: list[str], number: int, label: str, file: Path
    ) -> str:
        arguments = ", ".join(types)
        return (
            f"create function public.trap_{number}(text, {arguments}) returns text"
            + _body(label, file, "return null", " null")
            + f"; create aggregate public.{_quoted(name)}({arguments}) "
            f"(sfunc = public.trap_{number}, stype = text)"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _places(types: list[str]) -> str:
    return ", ".join(f"${index}" for index in range(1, len(types) + 1))


def _body(label: str, file: Path, ends: str, null: str) -> str:
    said = (SPRUNG + label).replace("'", "''")
    return BODY.format(
        said=said, file=file, number=f"n{file.name}", ends=ends + ";", null=null
    )


def plant(connection: psycopg.Connection[Any], traps: dict[str, str]) -> list[str]:
    """Plant them in `public` as the intruder; return those the server would not have."""
    execute: Any = connection.execute
    execute("grant create, usage on schema public to intruder")
    execute(f"set role {INTRUDER}")
    refused = []
    with connection.transaction():
        for label, statement in traps.items():
            try:
                with connection.transaction():
                    execute(statement)
            except psycopg.Error as error:
                refused.append(f"{label}: {error.diag.message_primary}")
    execute("reset role")
    return refused
