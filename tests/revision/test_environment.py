"""A team's environment: its head, and whether the database is there."""

import logging
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from sexton.errors import Refused, UsageError
from sexton.project import Project
from sexton.revision.environment import (
    environment,
    head,
    quiet,
    read_part,
    require_at_head,
)
from tests.support.environments import ENV

REVISION = "revision, down_revision = {!r}, {!r}\ndef upgrade(): pass\n"
NAMED = 'run_migrations(context, version_table="Versions", version_table_schema="w")'


def write(team, revision, after=None):
    file = team / "db" / "versions" / f"{revision}.py"
    file.write_text(REVISION.format(revision, after))


def test_a_revision_comes_after_the_one_head(team, config):
    assert head(ScriptDirectory.from_config(config)) is None
    write(team, "one")
    assert head(ScriptDirectory.from_config(config)) == "one"
    write(team, "two")
    with pytest.raises(Refused, match=r"has 2 heads.*: one, two") as refused:
        head(ScriptDirectory.from_config(config))
    assert refused.value.hint == "alembic merge heads"


def test_the_database_is_to_be_at_the_head_whatever_the_version_table_is_called(
    team, config, empty
):
    (team / "db" / "env.py").write_text(ENV.replace("run_migrations(context)", NAMED))
    script = ScriptDirectory.from_config(config)
    require_at_head(empty, config, script, None)
    write(team, "one")
    with pytest.raises(Refused, match="is at no revision, and the head is one"):
        require_at_head(empty, config, script, "one")
    empty.execute("""
        create schema w;
        create table w."Versions" (version_num varchar(32));
        insert into w."Versions" values ('one');
    """)
    require_at_head(empty, config, script, "one")
    empty.execute("""insert into w."Versions" values (e'\\x1b')""")
    with pytest.raises(Refused, match=r"is at \\x1b, one, and the head is one"):
        require_at_head(empty, config, script, "one")
    empty.execute("""
        alter table w."Versions" rename to old;
        create view w."Versions" as select * from w.old;
    """)
    with pytest.raises(Refused, match=r"w\.Versions is no table"):
        require_at_head(empty, config, script, "one")


def test_an_env_that_cannot_be_run_has_the_usual_version_table(team, config, empty):
    (team / "db" / "env.py").write_text("raise SystemExit(1)")
    empty.execute("create table alembic_version as select 'one' as version_num")
    require_at_head(empty, config, ScriptDirectory.from_config(config), "one")


def test_a_project_without_an_environment_has_no_revisions_to_write(config):
    with pytest.raises(UsageError, match="shop come with Sexton"):
        environment(Project("shop"))
    with pytest.raises(UsageError, match="names no Alembic environment"):
        environment(Project("shop", file=Path("sexton.toml")))
    with pytest.raises(UsageError, match=r"cannot read .*nothing.py"):
        read_part(ScriptDirectory.from_config(config), "nothing.py")


def test_what_runs_quietly_prints_beside_the_document(capsys, caplog):
    with quiet():
        sys.stdout.write("hooked\n")
        logging.getLogger("alembic").critical("loud")
    assert capsys.readouterr() == ("", "hooked\n")
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET
