"""Keys and indexes of declared references, and free names."""

from sexton.catalog.relations import resolve
from sexton.reference import Reference
from sexton.revision import catalog

TABLES = """
    create schema s;
    create table s."Parents" ("No" int, "It""s" text, primary key ("No", "It""s"));
    create table kids (
        "A" int, b text, up int, id int primary key references kids (id),
        constraint two foreign key (b, "A") references s."Parents" ("It""s", "No")
            on update cascade on delete set null deferrable initially deferred,
        constraint part foreign key ("A", b) references s."Parents" ("No", "It""s")
            on delete set null ("A")
    );
    create table parts (id int primary key, up int) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (9);
    alter table parts add constraint up foreign key (up) references kids (id);
"""


def test_a_key_is_found_whatever_the_order_of_its_columns(empty):
    if empty.info.server_version < 150000:
        return  # no key sets some of its columns alone
    empty.execute(TABLES)

    def keys(child, parent):
        ref = Reference(child=child, parent=parent)
        return catalog.keys(
            empty, ref, resolve(empty, [ref.source.table, ref.target.table])
        )

    part, two = keys("kids(A, b)", 's.Parents(No, "It""s")')
    assert (two.key.local_cols, two.key.remote_cols) == (("b", "A"), ('It"s', "No"))
    assert (two.key.ondelete, two.key.onupdate) == ("SET NULL", "CASCADE")
    assert (two.key.deferrable, two.key.initially) == (True, "DEFERRED")
    assert (two.valid, two.enforced, two.plain, two.inherited) == (True, True, True, False)
    assert (part.key.name, part.plain) == ("part", False)
    assert keys("kids(A, b)", 's.Parents("It""s", No)') == []
    [self] = keys("kids.id", "kids.id")
    assert self.key.source == self.key.referent
    assert [key.inherited for key in keys("parts.up", "kids.id")] == [False]
    assert [key.inherited for key in keys("parts_1.up", "kids.id")] == [True]


INDEXES = """
    create table t (a int, "B" int, c text, d int unique deferrable);
    create index on t using brin (a);
    create index on t using hash (a);
    create unique index on t ("B", a) include (c);
    create unique index on t (a) where c is null;
    create unique index on t ((true), lower(c), "B");
"""


def test_what_indexes_are_good_for(empty):
    empty.execute(INDEXES)
    found = catalog.indexes(empty, resolve(empty, ["t"])["t"])
    d, hash_, pair, part, odd = found
    assert d.leads(["d"])
    assert not d.identifies(["d"]), "a deferrable constraint is nothing to refer to"
    assert hash_.leads(["a"])
    assert not hash_.identifies(["a"])
    assert pair.columns == ("B", "a"), "what is included leads nowhere"
    assert pair.leads(["a", "B"])
    assert pair.leads(["B"])
    assert not pair.leads(["a"])
    assert pair.identifies(["a", "B"])
    assert not pair.identifies(["B"])
    assert (part.where, part.leads(["a"]), part.identifies(["a"])) == (
        *("(c IS NULL)", False),
        False,
    )
    assert odd.columns == (catalog.CONSTANT, None, "B")


def test_names_are_free_and_of_63_bytes(empty):
    long = "ä" * 31 + "x"
    empty.execute(f'''
        create table "{long}" (id int);
        create table t (a int);
        create view t_a_idx as select 1;
        create table u (a int constraint t_a_fkey check (a > 0));
    ''')
    there = resolve(empty, [long, "t"])
    names = catalog.Names(empty)
    assert [names.free(there["t"], ["a"], "idx") for _ in "12"] == ["t_a_idx1", "t_a_idx2"]
    assert names.free(there["t"], ["a"], "fkey") == "t_a_fkey", "another table's"
    first = names.free(there[long], ["id"], "idx")
    assert first == "ä" * 29 + "_idx"
    empty.execute(f'create index "{first}" on "{long}" (id)')
    again = catalog.Names(empty).free(there[long], ["id"], "idx")
    assert again == "ä" * 29 + "_idx1"
    assert len(again.encode()) == 63
