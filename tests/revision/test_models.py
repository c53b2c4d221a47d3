"""With the printed edits made, `alembic check` has nothing to say of the models."""

import re

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import sexton.alembic
from sexton.ddl.engine import engine
from sexton.project import Project
from sexton.reference import Declarations, Reference, SoftDelete, Unique
from sexton.revision.compare import compare
from sexton.revision.models import edits
from tests.support.revisions import up

TABLES = """
    create table customers (id int primary key);
    create table users (
        id int primary key, email text constraint email_key unique,
        gone boolean not null default false
    );
    create table invoices (
        id int primary key,
        customer_id int constraint the_customer references customers,
        payer_id int
    );
"""
DECLARED = Declarations(
    soft_delete=(
        SoftDelete(table="customers", deleted="deleted", deleted_at="deleted_at"),
        SoftDelete(table="invoices", deleted="gone"),
        SoftDelete(table="users", deleted="gone"),
    ),
    reference=(
        Reference(
            child="invoices.customer_id", parent="customers.id", key="none", guard=True
        ),
        Reference(child="invoices.payer_id", parent="customers.id", key="foreign"),
    ),
    unique=(Unique(table="users", columns=("email",)),),
)


def models():
    """The models as they are before the revision."""
    made = sa.MetaData()
    sa.Table("customers", made, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "users",
        made,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.Text),
        sa.Column("gone", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.UniqueConstraint("email", name="email_key"),
    )
    key = sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="the_customer")
    columns = [sa.Column(name, sa.Integer) for name in ("customer_id", "payer_id")]
    id = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("invoices", made, id, *columns, key)
    return made


def follow(metadata, edit):
    """Make one edit, as a person would type it."""
    table, _, doing = edit.partition(": ")
    found = metadata.tables[table]
    if doing.startswith("add "):
        part = eval(doing.removeprefix("add "), vars(sa))
        if isinstance(part, sa.Column):
            found.append_column(part)
        elif isinstance(part, sa.Index):
            part._set_parent(found)
        else:
            found.append_constraint(part)
        return
    [name] = re.findall(r"remove the \w+ (\w+)", edit)
    [gone] = [one for one in found.constraints if one.name == name]
    found.constraints.remove(gone)
    if isinstance(gone, sa.ForeignKeyConstraint):
        for element in gone.elements:
            found.foreign_keys.discard(element)


def differences(url, metadata):
    with engine(url, "alembic check").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": sexton.alembic.include_name}
        )
        return compare_metadata(context, metadata)


def test_alembic_check_is_clean_once_the_edits_are_made(empty, empty_url, tmp_path):
    empty.execute(TABLES)
    assert differences(empty_url, models()) == []
    project = Project("shop", file=tmp_path / "sexton.toml", declared=DECLARED)
    changes, _ = compare(empty, project)
    up(empty_url, changes)
    changed = models()
    assert differences(empty_url, changed) != []
    for operation in (one for change in changes for one in change.up):
        for edit in edits(operation):
            follow(changed, edit)
    assert differences(empty_url, changed) == []
