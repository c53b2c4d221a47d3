"""Script: the upgrade as SQL for psql, with the guarantees that psql can keep."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from sexton.catalog.relations import Relation, expose, literal, named, quoted, resolve
from sexton.catalog.schema import VERSIONS
from sexton.database import UPGRADE, Connection
from sexton.ddl.options import Options
from sexton.ddl.questions import tables_of
from sexton.ddl.row_changes import text_of
from sexton.ddl.session import own_session, path_of
from sexton.ddl.steps import Step
from sexton.upgrade.route import HEAL, REVISION, Route

TRIES = 60

HEADER = """
    -- {title}, for psql:  psql --no-psqlrc --file THIS_FILE
    --
    -- Kept here: each step is a transaction and is done only where the catalog says it is
    -- not done yet; all its tables are locked at once, parent first, under a timeout of
    -- {stall} ms, at most {tries} times, with a pause after each; the version row is locked
    -- and compared; two of these do not run at once.
    -- Not kept: nobody looks who holds the tables before asking for them, so others may
    -- wait {stall} ms at each try; the timeout does not follow their transactions;
    -- CONCURRENTLY has no deadline and says nothing of its progress; the schema is not
    -- verified afterwards (sexton status does). What the data has against a step is
    -- asked where the statements themselves would not notice.
    \\set ON_ERROR_STOP on
    \\set AUTOCOMMIT on
    set search_path = pg_catalog, pg_temp;
    set default_transaction_isolation = 'read committed';
    set row_security = off;
    set quote_all_identifiers = off;
    select pg_try_advisory_lock({lock}) as turn \\gset
    \\if :turn
    \\else
      do 'begin raise exception ''another upgrade is at work''; end';
    \\endif
    select to_regnamespace('sexton') is null as absent \\gset
    \\if :absent
      create schema sexton;
    \\endif
    create table if not exists {version} (
        version_num varchar(32) not null,
        constraint alembic_version_pkc primary key (version_num)
    );
"""

ACQUIRE = """
    set local lock_timeout = '{shield}ms';
    lock table {tables} in share update exclusive mode;
    do $lock$
    begin
        for try in 1..{tries} loop
            begin
                perform set_config('lock_timeout', '{stall}ms', true);
                lock table {tables} in {lock} mode;
                return;
            exception when lock_not_available or deadlock_detected then
                if try = {tries} then
                    raise;
                end if;
            end;
            -- The locks of the failed try are gone; nobody waits for this sleep.
            perform pg_sleep({pause});
        end loop;
    end
    $lock$;
"""


@dataclass(frozen=True)
class Script:
    """What a script's parts need to know: where tables are, and the user's options."""

    relations: Mapping[str, Relation]
    schema: str  # where new tables go
    options: Options

    def question(self, step: Step, query: str) -> str:
        """A query of a step, over tables by their whole names."""
        sql = inspect.cleandoc(query)
        for name in named(sql):
            whole = name if "." in name else self.relation(name).sql
            sql = sql.replace(f"to_regclass('{name}')", f"to_regclass({literal(whole)})")
        seen = {name: self.relation(name) for name in tables_of(step)}
        return expose(sql, seen)

    def relation(self, name: str) -> Relation:
        """Where a table is, or will be."""
        return self.relations.get(name) or Relation(0, self.schema, name, "", "r")

    def path(self, step: Step) -> str:
        """The search_path for a step's statements."""
        schemas = dict.fromkeys(self.relation(name).schema for name in step.tables)
        return ", ".join([*map(quoted, schemas or [self.schema]), "pg_temp"])


def script(connection: Connection, route: Route, options: Options, title: str) -> str:
    """The script from where the database is now. Reads only."""
    steps = [step for move in route.moves for step in move.steps]
    names = {name for step in steps for name in tables_of(step)}
    for step in steps:
        for query in (step.question, *(query for query, _ in step.refuse)):
            names |= named(query)
    with own_session(connection):
        found = resolve(connection, names)
        schema = path_of([], connection).partition(",")[0].strip('"')
    made = Script(found, schema, options)
    stall = round(options.max_stall * 1000)
    parts = [
        inspect.cleandoc(HEADER).format(
            title=title, stall=stall, tries=TRIES, lock=UPGRADE, version=VERSIONS
        )
    ]
    for move in route.moves:
        parts.append(f"\\echo {move.name}")
        for step in move.steps:
            parts += _step(step, move.start, stall, made, compared=move.kind != HEAL)
        if move.kind == REVISION:
            parts.append(_record(move.start, move.end))
    parts.append(f"select pg_advisory_unlock({UPGRADE});")
    return "\n\n".join(parts)


def _step(
    step: Step, start: str | None, stall: int, made: Script, *, compared: bool
) -> list[str]:
    parts = [f"-- {step.title}"]
    done = made.question(step, step.question)
    parts.append(
        f"select not looked.done as todo from (\n{done}\n) looked (done) \\gset"  # noqa: S608
    )
    parts.append("\\if :todo")
    if step.unless is None or step.unless not in made.options.choices:
        for query, sentence in step.refuse:
            parts.append(_refuse(made.question(step, query), sentence))
    sent = [
        f"{inspect.cleandoc(text_of(sql)).rstrip()};"
        for sql in step.statements(made.options.choices)
    ]
    path = made.path(step)
    if step.outside_transaction:
        parts += ["set lock_timeout = 0;", "set statement_timeout = 0;"]
        parts += [f"set search_path = {path};", *sent]
        parts += ["set search_path = pg_catalog, pg_temp;"]
    else:
        parts += ["begin;", *([_compare(start)] if compared else [])]
        if step.tables:
            parts.append(
                inspect.cleandoc(ACQUIRE).format(
                    tables=", ".join(made.relation(name).sql for name in step.tables),
                    lock=step.lock,
                    tries=TRIES,
                    stall=stall,
                    shield=3000,
                    pause=round(9 * stall / 1000, 3),
                )
            )
        parts += [f"set local search_path = {path};", *sent, "commit;"]
    return [*parts, "\\endif"]


def _refuse(query: str, sentence: str) -> str:
    words = sentence.replace("'", "''")
    return (
        f"do $refuse$\nbegin\n    if exists (\n{inspect.cleandoc(query)}\n    ) then\n"
        f"        raise exception '%', '{words}';\n    end if;\nend\n$refuse$;"
    )


def _compare(start: str | None) -> str:
    wanted = f"= '{start}'" if start else "is null"
    look = f"select version_num into found from {VERSIONS} for update;"  # noqa: S608
    return (
        f"do $version$\ndeclare\n    found text;\nbegin\n    {look}\n"
        f"    if (found {wanted}) is not true then\n"
        "        raise exception 'the database is at %, not where this script begins', "
        "found;\n    end if;\nend\n$version$;"
    )


def _record(start: str | None, end: str | None) -> str:
    if start is None:
        sql = f"insert into {VERSIONS} (version_num) values ('{end}');"  # noqa: S608
    elif end is None:
        sql = f"delete from {VERSIONS};"  # noqa: S608
    else:
        sql = (
            f"update {VERSIONS} set version_num = '{end}' "  # noqa: S608
            f"where version_num = '{start}';"
        )
    return f"begin;\n{_compare(start)}\n{sql}\ncommit;"
