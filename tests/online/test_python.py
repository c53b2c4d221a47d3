"""Operations as Python: read back they are the same, and formatters leave them alone."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext

import sexton.alembic  # noqa: F401 - registers them
from sexton.errors import UsageError
from sexton.online.operation import Online
from sexton.online.python import layout, statements

SOURCES = """
op.create_foreign_key_online('k', 'a', 'b', ['x'], ['y'], orphans='refuse')
op.create_foreign_key_online('k', 'a', 'b', ['x', 'z'], ['y', 'w'], source_schema='s',
    referent_schema='r', ondelete='SET NULL', onupdate='CASCADE', deferrable=True,
    initially='DEFERRED', orphans='null')
op.drop_constraint_online('k', 'a', type_='foreignkey', schema='s', referent_table='b',
    local_cols=['x'], remote_cols=['y'], ondelete='CASCADE')
op.create_index_online('i', 'a', ['x', sa.text('lower(y)')], schema='s', unique=True,
    postgresql_where=sa.text("z = 'it''s' and \\"Q\\""))
op.drop_index_online('i', 'a', columns=['x'], unique=True, postgresql_where='not z')
op.add_column_online('a', sa.Column('n', sa.Numeric(precision=9, scale=2),
    server_default=sa.text('0'), nullable=False), schema='s')
op.drop_column_online('a', 'n', column=sa.Column('n', sa.Text(), nullable=True))
op.set_not_null_online('a', 'n', schema='s')
op.drop_not_null_online('a', 'n')
op.add_soft_delete('a')
op.drop_soft_delete('a', deleted='gone', deleted_at='gone_at', schema='s')
op.add_guard('s.a.x', 'b.y', live='not deleted', parent_live='not gone')
op.drop_guard('a(x, z)', 'b(y, w)', live='', parent_live='gone_at is null')
"""
# The same without what a reverse needs.
BARE = {
    "op.drop_constraint_online('k', 'a')": "its referent_table, local_cols and remote_cols",
    "op.drop_index_online('i', 'a')": "its columns",
    "op.drop_column_online('a', 'n')": r"column=sa.Column\(…\)",
}


class Catcher(Operations):
    """Takes operations and runs none."""

    def invoke(self, operation):
        self.caught = operation


def caught(source):
    op = Catcher(MigrationContext.configure(dialect_name="postgresql"))
    exec(source.strip(), {"op": op, "sa": sa})
    return op.caught


def each(text):
    return [f"op.{source}".replace("\n", " ") for source in text.strip()[3:].split("\nop.")]


@pytest.mark.parametrize("source", each(SOURCES))
def test_an_operation_is_rendered_as_it_is_called_and_knows_its_reverse(source):
    operation = caught(source)
    assert isinstance(operation, Online)
    [text] = statements([operation])
    assert statements([caught(text)]) == [text]
    [back] = statements([operation.reverse()])
    assert statements([caught(back).reverse()]) == [text]
    assert operation.to_diff_tuple()[0] == operation.name
    titles = [step.title for step in operation.build(None)]
    assert titles == [step.title for step in caught(text).build(None)]


@pytest.mark.parametrize("source", BARE)
def test_a_bare_one_says_which_arguments_its_way_back_needs(source):
    with pytest.raises(ValueError, match=BARE[source]):
        caught(source).reverse()
    [text] = statements([caught(source)])
    assert text == source.replace("'", '"')


def test_half_a_foreign_key_is_refused():
    with pytest.raises(UsageError, match="half said"):
        caught("op.drop_constraint_online('k', 'a', referent_table='b')")


def test_teams_may_call_the_modules_otherwise():
    """Alembic renders with the prefixes that context.configure was given."""
    container = ops.UpgradeOps([caught(each(SOURCES)[3])])
    said = render_python_code(
        container, alembic_module_prefix="alembic.", sqlalchemy_module_prefix="sql."
    )
    assert "alembic.create_index_online(" in said
    assert 'sql.text("lower(y)")' in said


WORDS = [
    *("a", "deleted", "customer_id", "x" * 70, "it's", "not \"Deleted\" and x = 'y'"),
    *("é\n\\x\x07", "customers_addresses_provider", '"quoted"'),
]


def value(dice, depth=0):
    kind = dice.random()
    if kind < 0.7 or depth > 2:
        return repr(dice.choice(WORDS)) if dice.random() < 0.85 else "True"
    inside = [value(dice, depth + 1) for _ in range(dice.randint(1, 4))]
    if kind < 0.85:
        return f"[{', '.join(inside)}]"
    return f"sa.Column({', '.join(inside[:3])}, nullable=False)"


def test_what_is_laid_out_the_formatter_leaves_alone(tmp_path):
    dice = random.Random(12)
    lines = ["def upgrade():"]
    for _ in range(300):
        words = [value(dice) for _ in range(dice.randint(1, 4))]
        words += [f"option_{n}={value(dice)}" for n in range(dice.randint(0, 4))]
        said = layout(f"op.create_foreign_key_online({', '.join(words)})")
        lines += [f"    {line}" for line in said.split("\n")]
    file = tmp_path / "laid_out.py"
    file.write_text("\n".join(lines) + "\n")
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "--isolated", "--diff", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
