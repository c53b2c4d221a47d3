"""`sexton rehearse`: each new revision is run, observed, reverted and run again."""

import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from sexton.declarations.environment import own_environment
from sexton.errors import (
    DONE,
    FINDINGS,
    INCOMPLETE,
    ConnectionFailed,
    Incomplete,
    SextonError,
    UsageError,
)
from sexton.online.team_code import Boundary, require_revisions, said, without_values
from sexton.project import current
from sexton.rehearse import models, squawk
from sexton.rehearse.accept import accept
from sexton.rehearse.catalog import Catalog, catalog_of, columns_of, differences, rows_of
from sexton.rehearse.document import (
    Instead,
    ObservedStatement,
    Rehearsal,
    RehearsalFinding,
    RehearsalSummary,
    RehearsedRevision,
    SeverityWord,
    Status,
    TableLock,
)
from sexton.rehearse.fix import FIXABLE, Edit, diff, edits_of, shortened, write
from sexton.rehearse.newer import Newer, newer
from sexton.rehearse.observe import Observer, Watched, spelled
from sexton.rehearse.place import Place, place, redirected
from sexton.rehearse.plant import (
    NotPlanted,
    Planter,
    Rule,
    added,
    rules_of,
    without_equality,
)
from sexton.rehearse.rules import drops_of_used, judge, of_error
from sexton.rehearse.walk import Session, Walker
from sexton.text.printable import printable
from sexton.upgrade.own import ENV, point, quietly, run_env

# Seconds for a row, measured on a table of 5 million on two cores.
REWRITE, BUILD, READ = 7.2e-6, 2.0e-6, 0.2e-6
SIZES = """
    select n.nspname, c.relname, c.reltuples::bigint as rows from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm', 'p') and c.reltuples > 0
"""
SHOWN = 5  # differences of a catalog that a finding names
CANNOT = "the rows that violate {} could not be planted: {}"


def rehearse(
    config: Config,
    names: Sequence[str] = (),
    *,
    base: str | None = None,
    schema: Path | None = None,
    rows: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
    fix: bool = False,
    also_squawk: bool = False,
    on: Place | None = None,
) -> Rehearsal:
    """Rehearse the new revisions of an environment on a throw-away server.

    `names` are revisions, else `base` says which are new; `schema` is a dump of the schema
    at the base, else the base's own revisions make it. `rows` are numbers of rows by
    table, for the estimates; a dump with statistics has them too. With `fix`, operations
    that have an online one are rewritten in the revisions, afterwards. `also_squawk` adds
    the findings of squawk's rules. `on` is the server, by default one that ends with the
    rehearsal. Raises SextonError for an environment that cannot be read or run.
    """
    script = ScriptDirectory.from_config(config)
    require_revisions(script)
    found = newer(script, names, base)
    linter = squawk.program() if also_squawk else None
    done: list[tuple[_Rehearsal, Rehearsal]] = []
    server = contextlib.nullcontext(on) if on else place()
    with quietly(), server as where, Boundary(script).around():
        database = where.create()

        def look(
            environment: Any, configured: dict[str, Any], theirs: Any, given: dict[str, Any]
        ) -> None:
            if done:
                raise UsageError(
                    f"{printable(script.dir)}/env.py runs the migrations several times, "
                    "and a rehearsal runs them once",
                    hint="let it run one for each `-x` argument",
                )
            path = None
            if theirs is not None:
                path = theirs.exec_driver_sql("show search_path").scalar_one()
            walker = Walker(where, environment, configured, given, path)
            made = _Rehearsal(walker, found, schema, say, dict(rows or {}), linter)
            done.append((made, made.run()))

        config.attributes["look"] = look
        with redirected(where.server.sockets, database):
            point(config, where.main)
            run_env(config, "look", "heads")
    if not done:
        raise UsageError(f"{script.dir}/env.py does not call run_migrations()", hint=ENV)
    ran, document = done[0]
    if fix:
        for file in write(edit for found, edit in ran.edits if not found.accepted):
            say(f"rewrote {printable(shortened(file))}")
    return document


def environment(file: Path | None) -> Config:
    """The environment of an ini file, else the project's, else the built-in product's."""
    project = current()
    if file:
        found = replace(project, alembic=file.resolve(), file=file, unasked=False)
        return own_environment(found)
    if project.alembic is None and project.file is None:
        config = Config()
        config.set_main_option(
            "script_location", str(project.migrations).replace("%", "%%")
        )
        return config
    return own_environment(project)


@dataclass
class _Rehearsal:
    """The rehearsal of all new revisions; the database is at `_at` of them."""

    walker: Walker
    newer: Newer
    schema: Path | None
    say: Callable[[str], None]
    sizes: dict[str, int]
    squawk: str | None = None  # the program
    done: list[RehearsedRevision] = field(default_factory=list)
    edits: list[tuple[RehearsalFinding, Edit]] = field(default_factory=list)
    drops: dict[str, list[Watched]] = field(default_factory=dict)
    _template: str = ""
    _planted: set[tuple[str, str]] = field(default_factory=set)

    def run(self) -> Rehearsal:
        where = self.walker.place
        self._template = where.create()
        self._make_base()
        database = where.create(self._template)
        with contextlib.ExitStack() as stack:
            stack.callback(where.drop, self._template)
            stack.callback(lambda: where.drop(self.closed()))
            self._session = Session(where, database, self.walker.path)
            for number, revision in enumerate(self.newer.new):
                self.say(f"rehearsing {revision.revision}")
                result = _Revision(self, number, revision).run()
                self.done.append(result)
                if result.problem:
                    break
            else:
                self._compare_models()
            self._find_drops_of_what_is_used()
        self._heads_and_history()
        today = datetime.date.today()
        for one in self.done:
            if Path(one.file).is_file():
                one.findings += accept(one.findings, one.file, today)
            one.findings.sort(key=lambda f: (f.line or 0, f.code))
        return self._document()

    # -- databases ---------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session in which the revisions run."""
        return self._session

    def closed(self) -> str:
        """Close the session, so that its database can be copied; return its name."""
        self._session.close()
        return self._session.database

    def reopen(self, database: str) -> None:
        """Open the session again, in a database."""
        self._session.close()
        self._session = Session(self.walker.place, database, self.walker.path)

    def rebuild(self, number: int) -> None:
        """Put a fresh database, without rows, before the revision of this number."""
        gone = self.closed()
        database = self.walker.place.create(self._template)
        self.walker.place.drop(gone)
        self.reopen(database)
        self._planted.clear()
        for revision in self.newer.new[:number]:
            self.walker.up(self._session, revision)

    def plant(self) -> None:
        """Plant a row in each table that has none of ours yet."""
        with self.connection() as connection:
            planter = Planter(connection)
            for table in sorted(columns_of(connection)):
                if table in self._planted or table[1] == self.version_table:
                    continue
                self._planted.add(table)
                with contextlib.suppress(NotPlanted, psycopg.Error):
                    planter.plant(table)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        """The session's own connection, for questions: in autocommit mode, by names."""
        driver: Any = self._session.driver
        driver.rollback()
        before = driver.autocommit, driver.row_factory
        driver.autocommit, driver.row_factory = True, psycopg.rows.dict_row
        try:
            yield driver
        finally:
            if not driver.closed:
                driver.autocommit, driver.row_factory = before

    @property
    def version_table(self) -> str:
        """Alembic's own table."""
        return str(self.walker.configured["version_table"])

    def catalog(self) -> Catalog:
        """What the database has now."""
        with self.connection() as connection:
            return catalog_of(connection, self.version_table)

    def _make_base(self) -> None:
        with self.walker.session(self._template) as session:
            if own := self.walker.configured.get("version_table_schema"):
                named = sql.SQL("create schema if not exists {}")
                session.driver.execute(named.format(sql.Identifier(own)))
                session.driver.execute("commit")
            if self.schema:
                _load(session, self.schema, self.version_table)
                stamp = self.walker.context(session)
                stamp.stamp(self.walker.script, tuple(_heads_of(self.newer.old)))
                session.driver.execute("commit")
                self._read_sizes(session)
                return
            try:
                if self.newer.old:
                    self.walker.up(session, *self.newer.old)
            except SextonError as error:
                error.add_note("while the schema at the base was made")
                raise

    def _read_sizes(self, session: Session) -> None:
        found: Any = session.driver.execute(SIZES).fetchall()
        for schema, table, rows in found:
            name = table if schema == "public" else f"{schema}.{table}"
            self.sizes.setdefault(name, rows)

    # -- the whole ---------------------------------------------------------------------

    def _compare_models(self) -> None:
        metadata = self.walker.configured.get("target_metadata")
        known = {one.revision for one in (*self.newer.old, *self.newer.new)}
        at_head = known.issuperset(self.walker.script.get_heads())
        if metadata is None or not self.done or not at_head:
            return
        last = self.done[-1]
        context = self.walker.context(self._session)
        found = list(_flat(compare_metadata(context, metadata)))
        self._session.bound.rollback()
        last.proofs.models_equal = "failed" if found else "passed"
        for one in found[: 2 * SHOWN]:
            message = (
                f"the models and the database differ after it: {_said_difference(one)}"
            )
            last.findings.append(whole("models-differ", "error", last.file, message))

    def _find_drops_of_what_is_used(self) -> None:
        """The old application runs during the deploy, and its models name columns."""
        dropping = [one for one in self.done if one.revision in self.drops]
        if not dropping or not self.newer.tree:
            return
        where = self.walker.place.server.sockets
        try:
            with self.walker.place.empty() as database:
                used = models.at(self.newer.tree, self.walker.config, where, database)
        except Incomplete as error:
            for one in dropping:
                unknown = whole("models-unknown", "info", one.file, error.message)
                one.findings.append(unknown)
            return
        for one in dropping:
            for statement in self.drops[one.revision]:
                one.findings += drops_of_used(statement, used)

    def _heads_and_history(self) -> None:
        script = self.walker.script
        by_file = {one.file: one for one in self.done}
        heads = sorted(script.get_heads())
        if len(heads) > 1:
            message = f"there are {len(heads)} heads: {', '.join(heads)}"
            new = [one for one in self.done if one.revision in heads]
            for one in new or self.done[-1:]:
                one.findings.append(whole("several-heads", "error", one.file, message))
        for revision in self.newer.changed:
            message = "the revision is in the base already, with another text"
            found = whole("changed-after-release", "error", revision.path, message)
            one = by_file.get(revision.path) or RehearsedRevision(
                revision=revision.revision, file=revision.path
            )
            one.findings.append(found)
            if revision.path not in by_file:
                self.done.append(one)

    def _document(self) -> Rehearsal:
        counted = [
            finding for one in self.done for finding in one.findings if finding.counts
        ]
        for one in self.done:
            for finding in one.findings:
                finding.file = shortened(finding.file)
            one.file = shortened(one.file)
        incomplete = any(one.problem for one in self.done)
        status: Status = "findings" if counted else "clean"
        status = "incomplete" if incomplete else status
        codes = {"incomplete": INCOMPLETE, "findings": FINDINGS, "clean": DONE}
        return Rehearsal(
            base=self.newer.base,
            revisions=self.done,
            summary=RehearsalSummary(
                status=status,
                exit_code=codes[status],
                findings=len(counted),
            ),
        )


class _Revision:
    """The rehearsal of one revision."""

    def __init__(self, whole: _Rehearsal, number: int, revision: Script) -> None:
        self.whole, self.number, self.revision = whole, number, revision
        self.walker = whole.walker
        self.result = RehearsedRevision(revision=revision.revision, file=revision.path)
        self.watched: list[Watched] = []
        self.rows = True  # it survives the planted ones

    def run(self) -> RehearsedRevision:
        """Run it up, down and up, and with rows that it may not survive."""
        try:
            self.whole.plant()
            self._prove()
            if self.whole.squawk:
                self.result.findings += squawk.findings(self.whole.squawk, self.watched)
        except SextonError as error:
            notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
            self.result.problem = f"{error.message}{notes}"
        sizes = self.whole.sizes
        self.result.statements = [_statement(one, sizes) for one in self.watched]
        if drops := [one for one in self.watched if one.dropped]:
            self.whole.drops[self.result.revision] = drops
        return self.result

    # -- inside ------------------------------------------------------------------------

    def _prove(self) -> None:
        result, whole_ = self.result, self.whole
        before = whole_.catalog()
        with whole_.connection() as connection:
            columns = columns_of(connection)
            columns = {t: c for t, c in columns.items() if t[1] != whole_.version_table}
            rows = rows_of(connection, columns)
            rules = rules_of(connection)
        result.proofs.data = "passed"
        if not self._observed():
            result.proofs.data, self.rows = "failed", False
            whole_.rebuild(self.number)
            if not self._observed():
                raise Stopped("it fails by itself, so the revisions after it were not run")
            rows = {}
        after = whole_.catalog()
        with whole_.connection() as connection:
            now = rules_of(connection)
        new = added(rules, now, columns)
        for one in without_equality(rules, now, columns):
            message = f"{one} has a type without an equality operator"
            self._add(
                whole("column-without-equality", "warning", self.revision.path, message)
            )
        reverted = self._down(before, rows, columns)
        if not reverted:
            whole_.rebuild(self.number)
        if result.proofs.data == "passed":
            self._violate(new)
        self._kill(after, can_revert=reverted)
        self._up_again(after)

    def _observed(self) -> bool:
        """Run upgrade() and note what it does; False if it failed with a finding."""
        observer = self.walker.observer(self.whole.session)
        observer.measure = True
        with self._findings_of(observer):
            self.walker.up(self.whole.session, self.revision)
        failed = bool(observer.statements and observer.statements[-1].error)
        if not failed or not self.watched:
            self.watched = observer.statements
        if not failed:
            for one in observer.statements:
                found = judge(one)
                self.result.findings += found
                self._offer(one, found)
        return not failed

    def _offer(self, statement: Watched, found: list[RehearsalFinding]) -> None:
        """Give findings the edit of the revision that ends them."""
        fixable = [one for one in found if one.code in FIXABLE]
        edits = edits_of(statement) if fixable else ()
        for one in fixable if edits else ():
            assert one.instead
            one.instead = Instead(text=one.instead.text, diff=diff(edits))
            self.whole.edits += [(one, edit) for edit in edits]

    @contextlib.contextmanager
    def _findings_of(self, observer: Observer) -> Iterator[None]:
        """Let a server's refusal become a finding, if it is one."""
        try:
            with observer.watching():
                yield
        except SextonError:
            last = observer.statements[-1] if observer.statements else None
            found = of_error(last) if last else None
            if found is None:
                raise
            self._add(found)

    def _add(self, found: RehearsalFinding) -> None:
        same = [(one.code, one.line) for one in self.result.findings]
        if (found.code, found.line) not in same:
            self.result.findings.append(found)

    def _down(self, before: Catalog, rows: Any, columns: Any) -> bool:
        """Run downgrade(), and compare; whether all is as it was before."""
        file, proofs = self.revision.path, self.result.proofs
        after = self.whole.catalog()
        proofs.up_down_up = "failed"
        line = _line_of(self.revision, "downgrade")
        try:
            self.walker.down(self.whole.session, self.revision)
        except SextonError as error:
            message = f"downgrade() fails: {error.message}"
            self._add(whole("no-way-down", "error", file, message, line))
            return False
        now = self.whole.catalog()
        found = differences(before, now)
        if found and now == after:
            message = "downgrade() does nothing"
            self._add(whole("no-way-down", "error", file, message, line))
            return False
        if found:
            more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
            message = f"after downgrade() {'; '.join(found[:SHOWN])}{more}"
            self._add(whole("way-down-differs", "error", file, message, line))
            return False
        with self.whole.connection() as connection:
            there = rows_of(connection, columns) if rows else {}
        lost = [key for key, values in rows.items() if there.get(key) != values]
        proofs.up_down_up = "passed"
        if lost:
            named = ", ".join(f"{table}.{name}" for _, table, name in lost[:SHOWN])
            message = f"downgrade() does not give back the values of {named}"
            drops = any(one.dropped for one in self.watched)
            severity: SeverityWord = "warning" if drops else "info"
            self._add(whole("way-down-loses-data", severity, file, message, line))
        return True

    def _violate(self, new: Sequence[Rule]) -> None:
        """Run the revision on rows that violate what it adds, one rule after the other."""
        if not new:
            return
        source = self.whole.closed()
        place_ = self.walker.place
        try:
            for rule in new:
                copy = place_.create(source)
                try:
                    self.whole.reopen(copy)
                    self._violate_one(rule)
                finally:
                    self.whole.closed()
                    place_.drop(copy)
        finally:
            self.whole.reopen(source)

    def _violate_one(self, rule: Rule) -> None:
        with self.whole.connection() as connection:
            try:
                planted = Planter(connection).violate(rule)
            except (NotPlanted, psycopg.Error) as error:
                why = str(error).partition("\n")[0]
                message = CANNOT.format(rule.name, why)
                self._add(whole("not-planted", "info", self.revision.path, message))
                return
        if not planted:  # the database has other rules that forbid them already
            return
        count = len(self.result.findings)
        with self._findings_of(self.walker.observer(self.whole.session)):
            self.walker.up(self.whole.session, self.revision)
        if len(self.result.findings) > count:
            self.result.proofs.data = "failed"

    def _kill(self, after: Catalog, *, can_revert: bool) -> None:
        """End the session after statements that may be the last ones, and run it again."""
        points = self._points()
        if not points:
            return
        self.result.proofs.killed_and_resumed = "passed"
        for number in points:
            if why := self._resumed(number, after):
                line = self.watched[number - 1].line
                message = f"killed after this statement, it cannot be run again: {why}"
                self._add(
                    whole("not-resumable", "error", self.revision.path, message, line)
                )
                self.result.proofs.killed_and_resumed = "failed"
            if not why and can_revert:
                self.walker.down(self.whole.session, self.revision)
            else:
                self.whole.rebuild(self.number)
            if self.rows:
                self.whole.plant()

    def _points(self) -> list[int]:
        """After which statements it is killed: of one transaction, after the last."""
        if not self.watched:
            return []
        transactions = {one.transaction for one in self.watched}
        if len(transactions) == 1 and 0 not in transactions:
            return [len(self.watched)]
        return list(range(1, len(self.watched) + 1))

    def _resumed(self, number: int, after: Catalog) -> str | None:
        """Kill it after a statement, and run it again; why that fails, if it does."""
        session = self.whole.session
        observer = self.walker.observer(session)
        pid = session.driver.info.backend_pid

        def kill(count: int) -> None:
            if count == number:
                query = "select pg_catalog.pg_terminate_backend(%s, 10000)"
                self.walker.place.main.execute(query, (pid,))

        observer.after = kill
        lost = contextlib.suppress(SextonError, DBAPIError, psycopg.Error)
        with lost, observer.watching():
            self.walker.up(session, self.revision)
        self.whole.reopen(session.database)
        try:
            self.walker.up(self.whole.session, self.revision)
        except ConnectionFailed:
            raise
        except SextonError as error:
            return error.message.partition("\n")[0]
        found = differences(after, self.whole.catalog())
        return "; ".join(found[:SHOWN]) or None

    def _up_again(self, after: Catalog) -> None:
        self.walker.up(self.whole.session, self.revision)
        found = differences(after, self.whole.catalog())
        if found and self.result.proofs.up_down_up == "passed":
            self.result.proofs.up_down_up = "failed"
            message = f"up, down and up again ends otherwise: {'; '.join(found[:SHOWN])}"
            line = _line_of(self.revision, "downgrade")
            self._add(whole("way-down-differs", "error", self.revision.path, message, line))


class Stopped(SextonError):
    """A revision fails, so those after it cannot be rehearsed."""

    code = INCOMPLETE


def whole(
    code: str, severity: SeverityWord, file: str, message: str, line: int | None = None
) -> RehearsalFinding:
    """A finding that is not about one statement."""
    return RehearsalFinding(
        code=code, severity=severity, file=file, line=line, message=message
    )


def _estimate(one: Watched, sizes: Mapping[str, int]) -> int | None:
    """How long a statement would work, in milliseconds; None if a size is not known."""
    built = {table for _, table in one.built} - set(one.rewritten)
    work = [(table, REWRITE) for table in one.rewritten]
    work += [(table, BUILD) for table in built]
    work += [(t, READ) for t in set(one.scanned) - set(one.rewritten) - built]
    if not work or any(table not in sizes for table, _ in work):
        return None
    return round(sum(sizes[table] * cost for table, cost in work) * 1000)


def _statement(one: Watched, sizes: Mapping[str, int]) -> ObservedStatement:
    return ObservedStatement(
        line=one.line,
        sql=without_values(one.sql),
        locks=[
            TableLock(table, spelled(mode)) for table, mode in sorted(one.locks.items())
        ],
        rewritten=sorted(one.rewritten),
        scanned=sorted(one.scanned),
        built=sorted(index for index, _ in one.built),
        estimate_ms=_estimate(one, sizes),
        others_waited_ms=None if one.waited is None else round(one.waited * 1000),
    )


def _line_of(revision: Script, function: str) -> int | None:
    found = getattr(revision.module, function, None)
    return found.__code__.co_firstlineno if found else None


def _heads_of(revisions: Sequence[Script]) -> list[str]:
    below = {down for one in revisions for down in one._all_down_revisions}
    return [one.revision for one in revisions if one.revision not in below]


def _flat(found: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for one in found:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one


def _said_difference(one: tuple[Any, ...]) -> str:
    kind, *about = one
    named = [
        getattr(item, "name", None) or item
        for item in about
        if item is not None and not isinstance(item, dict)
    ]
    return printable(f"{kind.replace('_', ' ')} {' '.join(map(str, named))}")


def _load(session: Session, file: Path, version_table: str) -> None:
    """Run a dump of the schema, without psql's own commands, and empty Alembic's table."""
    try:
        text = file.read_text()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read {printable(str(file))}: {error}") from None
    lines = [line for line in text.splitlines() if not line.startswith("\\")]
    with psycopg.ClientCursor(session.driver) as cursor:
        try:
            cursor.execute("\n".join(lines))
            cursor.execute("reset all")
            cursor.execute(
                sql.SQL("drop table if exists {}").format(sql.Identifier(version_table))
            )
            cursor.execute("commit")
        except psycopg.Error as error:
            raise UsageError(
                f"{printable(str(file))} does not load: {said(error)}",
                hint="pg_dump --schema-only --no-owner --no-privileges makes one",
            ) from None
