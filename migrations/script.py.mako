"""${message}."""

from alembic import op

revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}

# A step: title, lock, tables (parent first), done (a query that says whether its result is
# there), sql; help(sexton.ddl.steps.Step) tells the rest.
UPGRADE = []
DOWNGRADE = []


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
