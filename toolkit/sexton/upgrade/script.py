"""Script: the upgrade as SQL for psql, with the guarantees that psql can keep."""

import inspect

from sexton.database import Connection
from sexton.ddl.steps import VERSION, Step, statements
from sexton.ddl.waiting import Options
from sexton.locks import UPGRADE
from sexton.upgrade import run as upgrade
from sexton.upgrade.preview import GUARD, Move, moves

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
    select pg_try_advisory_lock({lock}) as turn \\gset
    \\if :turn
    \\else
      do 'begin raise exception ''another upgrade is at work''; end';
    \\endif
    create schema if not exists sexton;
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


def script(
    connection: Connection,
    way: str,
    target: str,
    options: Options,
    *,
    guarded: bool = False,
) -> str:
    """The script from where the database is now. Reads only."""
    chosen = moves(connection, way, target, guarded=guarded)
    return write(chosen, way, f"{way}grade to {target}", options)


def write(chosen: list[Move], way: str, title: str, options: Options) -> str:
    """The script for some moves."""
    stall = round(options.max_stall * 1000)
    parts = [
        inspect.cleandoc(HEADER).format(
            title=title,
            stall=stall,
            tries=TRIES,
            lock=UPGRADE,
            version=VERSION,
        )
    ]
    for number, start, made in chosen:
        end = number if way == "up" or number == GUARD else upgrade.below(number)
        parts.append(f"\\echo {number}")
        for step in made:
            parts += _step(step, start, stall, options)
        if number != GUARD:
            parts.append(_record(start, end))
    parts.append(f"select pg_advisory_unlock({UPGRADE});")
    return "\n\n".join(parts)


def _step(step: Step, start: str | None, stall: int, options: Options) -> list[str]:
    parts = [f"-- {step['title']}"]
    done = inspect.cleandoc(step["done"])
    parts.append(
        f"select not looked.done as todo from (\n{done}\n) looked (done) \\gset"  # noqa: S608
    )
    parts.append("\\if :todo")
    for query, sentence in step.get("refuse", ()):
        if step.get("choice") not in options.choices:
            parts.append(_refuse(query, sentence))
    sent = [f"{inspect.cleandoc(sql).rstrip()};" for sql in statements(step, options)]
    if step.get("alone"):
        parts += ["set lock_timeout = 0;", "set statement_timeout = 0;", *sent]
    else:
        parts += ["begin;", _compare(start)]
        if step.get("tables"):
            parts.append(
                inspect.cleandoc(ACQUIRE).format(
                    tables=", ".join(step["tables"]),
                    lock=step["lock"],
                    tries=TRIES,
                    stall=stall,
                    shield=3000,
                    pause=round(9 * stall / 1000, 3),
                )
            )
        parts += [*sent, "commit;"]
    return [*parts, "\\endif"]


def _refuse(query: str, sentence: str) -> str:
    words = sentence.replace("'", "''")
    return (
        f"do $refuse$\nbegin\n    if exists (\n{inspect.cleandoc(query)}\n    ) then\n"
        f"        raise exception '%', '{words}';\n    end if;\nend\n$refuse$;"
    )


def _compare(start: str | None) -> str:
    wanted = f"= '{start}'" if start else "is null"
    look = f"select version_num into found from {VERSION} for update;"  # noqa: S608
    return (
        f"do $version$\ndeclare\n    found text;\nbegin\n    {look}\n"
        f"    if (found {wanted}) is not true then\n"
        "        raise exception 'the database is at %, not where this script begins', "
        "found;\n    end if;\nend\n$version$;"
    )


def _record(start: str | None, end: str | None) -> str:
    if start is None:
        sql = f"insert into {VERSION} (version_num) values ('{end}');"  # noqa: S608
    elif end is None:
        sql = f"delete from {VERSION};"  # noqa: S608
    else:
        sql = (
            f"update {VERSION} set version_num = '{end}' "  # noqa: S608
            f"where version_num = '{start}';"
        )
    return f"begin;\n{_compare(start)}\n{sql}\ncommit;"
