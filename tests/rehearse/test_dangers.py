"""What each dangerous operation is called, and that safe ones are called nothing."""

import pytest

from tests.support.rehearsals import Environment, codes, of

DATA = "constraint-fails-on-data"
# By name: the codes expected, upgrade(), downgrade().
DANGERS = {
    "index": (
        ["blocking-index-build"],
        'op.create_index("a", "invoices", ["total"])',
        'op.drop_index("a")',
    ),
    "foreign_key": (
        [DATA, "scan-under-lock"],
        'op.create_foreign_key("k", "invoices", "customers", ["customer_id"], ["id"])',
        'op.drop_constraint("k", "invoices")',
    ),
    "not_null": (
        ["not-null-fails-on-data", "scan-under-lock"],
        'op.alter_column("invoices", "note", nullable=False)',
        'op.alter_column("invoices", "note", nullable=True)',
    ),
    "check": (
        [DATA, "scan-under-lock"],
        'op.create_check_constraint("c", "invoices", "total > 10")',
        'op.drop_constraint("c", "invoices")',
    ),
    "unique": (
        ["blocking-index-build", DATA],
        'op.create_unique_constraint("u", "customers", ["email"])',
        'op.drop_constraint("u", "customers")',
    ),
    "unique_among": (
        ["blocking-index-build", DATA],
        """op.execute("create unique index ua on customers (age) where name = 'x'")""",
        'op.drop_index("ua")',
    ),
    "rename_column": (
        ["rename"],
        'op.alter_column("customers", "name", new_column_name="title")',
        'op.alter_column("customers", "title", new_column_name="name")',
    ),
    "rename_table": (
        ["rename"],
        'op.rename_table("customers", "clients")',
        'op.rename_table("clients", "customers")',
    ),
    "type": (
        ["table-rewrite"],
        'op.alter_column("invoices", "total", type_=sa.BigInteger())',
        'op.alter_column("invoices", "total", type_=sa.Integer())',
    ),
    "narrower_type": (
        [DATA, "table-rewrite"],
        'op.execute("alter table customers alter email type varchar(20)")',
        'op.execute("alter table customers alter email type varchar(50)")',
    ),
    "volatile_default": (
        ["table-rewrite"],
        'op.execute("alter table invoices add token uuid default gen_random_uuid()")',
        'op.drop_column("invoices", "token")',
    ),
    "generated": (
        ["table-rewrite"],
        'op.execute("alter table invoices add d int generated always as (total*2) stored")',
        'op.drop_column("invoices", "d")',
    ),
    "concurrently": (
        ["concurrently-in-transaction"],
        'op.create_index("q", "invoices", ["total"], postgresql_concurrently=True)',
        'op.drop_index("q")',
    ),
    "enum": (
        ["enum-value-in-same-transaction"],
        """
        op.execute("alter type mood add value 'angry'")
        op.execute("create table moods (m mood default 'angry')")
        """,
        'op.execute("drop table moods")',
    ),
    "backfill": (
        ["mixed-backfill"],
        """
        op.add_column("invoices", sa.Column("paid", sa.Boolean))
        op.execute("update invoices set paid = false")
        """,
        'op.drop_column("invoices", "paid")',
    ),
    "long_lock": (
        ["long-lock", "scan-under-lock"],
        """
        op.add_column("invoices", sa.Column("paid", sa.Boolean))
        op.create_check_constraint("old", "customers", "age is null or age is not null")
        """,
        """
        op.drop_constraint("old", "customers")
        op.drop_column("invoices", "paid")
        """,
    ),
    "serial": (
        ["table-rewrite"],
        'op.execute("alter table invoices add n serial")',
        'op.drop_column("invoices", "n")',
    ),
    "identity": (
        ["table-rewrite"],
        'op.execute("alter table invoices add n int generated always as identity")',
        'op.drop_column("invoices", "n")',
    ),
    "json": (
        ["column-without-equality"],
        'op.add_column("invoices", sa.Column("about", sa.JSON))',
        'op.drop_column("invoices", "about")',
    ),
    "exclusion": (
        ["blocking-index-build", DATA],
        """op.execute("alter table invoices add constraint x exclude (total with =)")""",
        'op.drop_constraint("x", "invoices")',
    ),
    "primary_key": (
        ["blocking-index-build", "not-null-fails-on-data"],
        """
        op.drop_constraint("invoices_pkey", "invoices")
        op.create_primary_key("invoices_pkey", "invoices", ["id", "total"])
        """,
        """
        op.drop_constraint("invoices_pkey", "invoices")
        op.create_primary_key("invoices_pkey", "invoices", ["id"])
        op.alter_column("invoices", "total", nullable=True)
        """,
    ),
    "validated_at_once": (
        [DATA, "scan-under-lock"],
        """
        op.execute("alter table invoices add constraint v check (total > 10) not valid")
        op.execute("alter table invoices validate constraint v")
        """,
        'op.drop_constraint("v", "invoices")',
    ),
    "set_schema": (
        ["rename"],
        """
        op.execute("create schema other")
        op.execute("alter table invoices set schema other")
        """,
        """
        op.execute("alter table other.invoices set schema public")
        op.execute("drop schema other")
        """,
    ),
    "cluster": (
        ["table-rewrite"],
        'op.execute("cluster invoices using by_note")',
        'op.execute("alter table invoices set without cluster")',
    ),
    "unlogged": (
        ["table-rewrite"],
        'op.execute("alter table invoices set unlogged")',
        'op.execute("alter table invoices set logged")',
    ),
    "reindex": (
        ["blocking-index-build"],
        'op.execute("reindex table invoices")',
        "pass",
    ),
    "vacuum_full": (
        ["concurrently-in-transaction"],
        'op.execute("vacuum full invoices")',
        "pass",
    ),
    "nothing_down": (
        ["no-way-down"],
        'op.add_column("invoices", sa.Column("paid", sa.Boolean))',
        "pass",
    ),
    "failing_down": (
        ["no-way-down"],
        'op.add_column("invoices", sa.Column("paid", sa.Boolean))',
        "raise NotImplementedError",
    ),
    "other_down": (
        ["way-down-differs"],
        'op.drop_column("invoices", "note")',
        'op.add_column("invoices", sa.Column("note", sa.Text, server_default="x"))',
    ),
    "cannot_resume": (
        ["not-resumable"],
        """
        with op.get_context().autocommit_block():
            op.execute("create table one (id int)")
            op.execute("create table two (id int)")
        """,
        'op.execute("drop table one, two")',
    ),
}
SAFE = {
    "table": (
        'op.create_table("t", sa.Column("id", sa.BigInteger, primary_key=True), '
        'sa.Column("c", sa.BigInteger, sa.ForeignKey("customers.id")))',
        'op.drop_table("t")',
    ),
    "index_of_new": (
        """
        op.create_table("t", sa.Column("id", sa.Integer))
        op.create_index("i", "t", ["id"])
        op.create_foreign_key("f", "t", "customers", ["id"], ["id"])
        """,
        'op.drop_table("t")',
    ),
    "column": (
        'op.add_column("invoices", sa.Column("x", sa.Integer, server_default="1"))',
        'op.drop_column("invoices", "x")',
    ),
    "concurrently": (
        """
        with op.get_context().autocommit_block():
            op.create_index(
                "q", "invoices", ["total"], postgresql_concurrently=True, if_not_exists=True
            )
        """,
        'op.drop_index("q")',
    ),
    "not_valid": (
        """
        op.execute(
            "alter table invoices add constraint k foreign key (customer_id) "
            "references customers not valid"
        )
        """,
        'op.drop_constraint("k", "invoices")',
    ),
    "mended": (
        """
        op.execute("update invoices set note = '' where note is null")
        op.execute(
            "alter table invoices add constraint n check (note is not null) not valid"
        )
        """,
        'op.drop_constraint("n", "invoices")',
    ),
    "online_index": (
        'op.create_index_online("o", "invoices", ["total"])',
        'op.drop_index_online("o", "invoices")',
    ),
    "online_not_null": (
        """
        op.execute("update invoices set note = '' where note is null")
        op.set_not_null_online("invoices", "note")
        """,
        'op.drop_not_null_online("invoices", "note")',
    ),
    "online_key": (
        'op.create_foreign_key_online("k", "invoices", "customers", ["customer_id"], '
        '["id"], orphans="null")',
        'op.drop_constraint_online("k", "invoices")',
    ),
    "not_null_by_check": (
        """
        op.execute("update invoices set note = '' where note is null")
        with op.get_context().autocommit_block():
            op.execute("alter table invoices drop constraint if exists n")
            op.execute(
                "alter table invoices add constraint n check (note is not null) not valid"
            )
            op.execute("alter table invoices validate constraint n")
            op.execute("alter table invoices alter note set not null")
        op.execute("alter table invoices drop constraint n")
        """,
        'op.execute("alter table invoices alter note drop not null")',
    ),
    "validated_apart": (
        """
        with op.get_context().autocommit_block():
            op.execute("alter table invoices drop constraint if exists v")
            op.execute("alter table invoices add constraint v check (id = id) not valid")
            op.execute("alter table invoices validate constraint v")
        """,
        'op.drop_constraint("v", "invoices")',
    ),
    "unique_by_index": (
        """
        with op.get_context().autocommit_block():
            op.execute(
                "create unique index concurrently if not exists u on invoices (id, total)"
            )
        op.execute("alter table invoices add constraint u unique using index u")
        """,
        'op.drop_constraint("u", "invoices")',
    ),
    "jsonb": (
        'op.execute("alter table invoices add about jsonb")',
        'op.drop_column("invoices", "about")',
    ),
    "virtual": (
        'op.execute("alter table invoices add d int generated always as (total * 2)")',
        'op.drop_column("invoices", "d")',
    ),
    "comment": (
        "op.execute(\"comment on table invoices is 'x'\")",
        'op.execute("comment on table invoices is null")',
    ),
    "wider_text": (
        'op.execute("alter table customers alter email type varchar(80)")',
        'op.execute("alter table customers alter email type varchar(50)")',
    ),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    made = Environment(tmp_path_factory.mktemp("team"))
    for name, (_, up, down) in DANGERS.items():
        made.add(name, up, down, below="root")
    for name, (up, down) in SAFE.items():
        made.add(f"safe_{name}", up, down, below="root")
    return made


@pytest.mark.parametrize("name", DANGERS)
def test_a_dangerous_operation_is_reported(environment, server, name):
    document = environment.rehearse(name, on=server)
    revision = of(document, name)
    assert codes(revision) == sorted({*DANGERS[name][0], "several-heads"})
    assert document.summary.exit_code in (1, 3)


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_operation_is_not(environment, server, name):
    document = environment.rehearse(f"safe_{name}", on=server)
    revision = of(document, f"safe_{name}")
    assert revision.problem is None
    assert codes(revision) == ["several-heads"], revision.findings
