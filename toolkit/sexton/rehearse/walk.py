"""Running one revision, up or down, on one of the throw-away databases."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from alembic.config import Config
from alembic.runtime.migration import MigrationStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection as Bound
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from sexton.alembic import inside
from sexton.ddl.engine import engine
from sexton.ddl.options import Options
from sexton.errors import SextonError
from sexton.online.run_steps import Record
from sexton.online.team_code import Boundary
from sexton.postgres.connect import Connection
from sexton.postgres.session import set_parameters
from sexton.rehearse.observe import Observer
from sexton.rehearse.place import NAME, Place


class Session:
    """A connection to one database, on which revisions run."""

    def __init__(self, place: Place, database: str, path: str | None) -> None:
        self.database = database
        self.engine: Engine = engine(place.url(database), NAME)
        self.bound: Bound = self.engine.connect()
        driver: Any = self.bound.connection.driver_connection
        self.driver: Connection = driver
        if path:
            set_parameters(self.driver, {"search_path": path})
            self.driver.execute("commit")

    def close(self) -> None:
        """Close it, whatever state it is in."""
        with contextlib.suppress(Exception):
            self.bound.invalidate()
        with contextlib.suppress(Exception):
            self.bound.close()
        if not self.driver.closed:
            self.driver.close()
        self.engine.dispose()


class Walker:
    """Runs single revisions as env.py configured Alembic."""

    def __init__(
        self,
        place: Place,
        environment: Any,
        configured: dict[str, Any],
        names: dict[str, Any],
        path: str | None,
    ) -> None:
        self.place = place
        self.script: ScriptDirectory = environment.script
        self.config: Config = environment.config
        self.configured = configured
        self.path = path
        self._environment, self._names = environment, names
        self.folders = [Path(str(at)) for at in self.script._version_locations]

    @contextlib.contextmanager
    def session(self, database: str) -> Iterator[Session]:
        """Open a session in a database, and close it."""
        made = Session(self.place, database, self.path)
        try:
            yield made
        finally:
            made.close()

    def observer(self, session: Session) -> Observer:
        """An observer of what runs in a session."""
        return Observer(session.driver, self.place.main, self.folders)

    def up(self, session: Session, *revisions: Script) -> None:
        """Run upgrade() of revisions, in this order; raises SextonError."""

        def upgrade(_heads: Any, _context: Any) -> list[MigrationStep]:
            known = self.script.revision_map
            return [MigrationStep.upgrade_from_script(known, one) for one in revisions]

        self._run(session, revisions[0], upgrade)

    def down(self, session: Session, revision: Script) -> None:
        """Run a revision's downgrade(); raises SextonError."""

        def downgrade(_heads: Any, _context: Any) -> list[MigrationStep]:
            return [MigrationStep.downgrade_from_script(self.script.revision_map, revision)]

        self._run(session, revision, downgrade)

    def context(self, session: Session) -> Any:
        """Alembic's MigrationContext of a session, which runs nothing."""
        with inside(self._environment):
            self._environment.configure(connection=session.bound, **self.configured)
            return self._environment.get_context()

    def _run(self, session: Session, revision: Script, steps: Any) -> None:
        boundary = Boundary(self.script)
        record = Record(kind=steps.__name__)
        options = {**self.configured, "fn": steps, "dont_mutate": False}
        options["sexton"] = (Options(), record)
        try:
            with (
                boundary.revision(revision.revision, revision.path),
                inside(self._environment),
            ):
                self._environment.configure(connection=session.bound, **options)
                with self._environment.begin_transaction():
                    self._environment.run_migrations(**self._names)
        except (SextonError, DBAPIError, psycopg.Error):
            if not session.driver.closed:
                with contextlib.suppress(Exception):
                    session.bound.rollback()
                    session.driver.rollback()
            raise
