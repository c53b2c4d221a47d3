"""A team's plain Alembic environment, and its rehearsal."""

import subprocess
import textwrap
from pathlib import Path

from alembic.config import Config

from sexton.rehearse.rehearsal import rehearse

ENV = """
from alembic import context
from sqlalchemy import engine_from_config, pool

{before}
config = context.config
engine = engine_from_config(
    config.get_section(config.config_ini_section, {{}}),
    prefix="sqlalchemy.",
    poolclass=pool.NullPool,
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata={metadata})
    with context.begin_transaction():
        context.run_migrations()
"""
INI = """
[alembic]
script_location = %(here)s/db
sqlalchemy.url = postgresql+psycopg://team:never-shown@db.invalid/production
"""
REVISION = '''"""Revision {number}."""

import sqlalchemy as sa
from alembic import op

import sexton.alembic

revision = "{number}"
down_revision = {below!r}


def upgrade():
{up}


def downgrade():
{down}
'''
BASE = """
op.execute('''
    create table customers (id bigint primary key, name text, email varchar(50), age int);
    create table invoices (id bigint primary key, customer_id bigint, total int, note text);
    create index by_note on invoices (note);
    create type mood as enum ('glad', 'sad');
''')
"""
ADD = 'op.add_column("invoices", sa.Column("paid", sa.Boolean))'
DROP = 'op.drop_column("invoices", "paid")'
INDEX = 'op.create_index("i", "invoices", ["total"])'
MODELS = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("customers", metadata, sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text), sa.Column("email", sa.String(50)),
    sa.Column("age", sa.Integer))
invoices = sa.Table("invoices", metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("customer_id", sa.BigInteger),
    sa.Column("total", sa.Integer), sa.Column("note", sa.Text),
    sa.Column("paid", sa.Boolean))
sa.Index("by_note", invoices.c.note)
"""


class Environment:
    """Plain Alembic: an ini whose database is nowhere, and the usual env.py."""

    def __init__(self, folder: Path, before: str = "", metadata: str = "None") -> None:
        """Make it, with one revision, `root`."""
        self.folder = folder
        self.versions = folder / "db" / "versions"
        self.versions.mkdir(parents=True)
        text = ENV.format(before=textwrap.dedent(before), metadata=metadata)
        (folder / "db" / "env.py").write_text(text)
        self.ini = folder / "alembic.ini"
        self.ini.write_text(INI)
        self.head: str | None = None
        self.add("root", BASE)

    def add(self, number: str, up: str, down: str = "pass", below=()) -> Path:
        """Add a revision after the last one, or after `below`."""
        text = REVISION.format(
            number=number,
            below=self.head if below == () else below,
            up=_indented(up),
            down=_indented(down),
        )
        file = self.versions / f"{number}.py"
        file.write_text(text)
        self.head = number
        return file

    def rehearse(self, *names: str, **options):
        """The document of a rehearsal; by default of all but the first revision."""
        options.setdefault("base", None if names else "rev:root")
        return rehearse(Config(str(self.ini)), names, **options)


def _indented(lines: str) -> str:
    return textwrap.indent(textwrap.dedent(lines).strip(), "    ")


def codes(revision, *severities):
    """The codes of a revision's findings, in order."""
    chosen = severities or ("error", "warning")
    return sorted({f.code for f in revision.findings if f.severity in chosen})


def of(document, number):
    """One revision of a document."""
    return next(one for one in document.revisions if one.revision == number)


def git(folder, *arguments):
    """Run git in a folder, as somebody."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)
