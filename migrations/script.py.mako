"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

UPGRADE = [
    {
        "title": "",
        "lock": "access exclusive",
        "tables": [],
        "done": "",
        "sql": [],
    },
]
DOWNGRADE = []


def upgrade():
    op.run_steps(UPGRADE)


def downgrade():
    op.run_steps(DOWNGRADE)
