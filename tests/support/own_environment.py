"""A team's own Alembic environment, and the shop's tables that its revisions are about."""

import textwrap
from pathlib import Path

ENV = """
from alembic import context
import sexton.alembic

print("a word of env.py's own")
sexton.alembic.run_migrations(context{arguments})
"""
TABLES = """
    create table customers (id bigint primary key, name text);
    create table invoices (
        id bigint primary key,
        customer_id bigint constraint invoices_customer references customers
    );
    insert into customers values (1, 'Ada'), (2, 'Bob');
    insert into invoices values (1, 1), (2, 2), (3, null);
"""
SOFTEN = """
    op.create_index_online("by_customer", "invoices", ["customer_id"])
    op.drop_constraint_online("invoices_customer", "invoices")
    op.add_soft_delete("customers")
"""
REVISION = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {below!r}


def upgrade():
{up}


def downgrade():
{down}
'''


class Environment:
    """A folder with a project file, alembic.ini, env.py and revisions."""

    def __init__(self, folder: Path, arguments: str = "") -> None:
        """Make it, without revisions; `arguments` of `run_migrations`."""
        self.folder = folder
        self.versions = folder / "db" / "versions"
        self.versions.mkdir(parents=True)
        self.env = folder / "db" / "env.py"
        self.env.write_text(ENV.format(arguments=arguments))
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/db\n")
        self.declare()

    def declare(self, text: str = "") -> None:
        """Write the project file, with more in it."""
        head = 'project = "shop"\nalembic = "alembic.ini"\n'
        (self.folder / "sexton.toml").write_text(head + text)

    def add(self, number: str, below: str | None, up: str, down: str = "pass") -> None:
        """Add a revision, from the lines of its functions."""
        text = REVISION.format(
            title=f"Revision {number}",
            number=number,
            below=below,
            up=_indented(up),
            down=_indented(down),
        )
        (self.versions / f"{number}.py").write_text(text)


def _indented(lines: str) -> str:
    return textwrap.indent(textwrap.dedent(lines).strip(), "    ")
