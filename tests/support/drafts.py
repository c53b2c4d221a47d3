"""Tables whose keys are odd in every way."""

from sexton.database import connect

SCHEMA = """
    create schema "Other One";
    create table parent (id int primary key);
    create table "Other One".parent (id int primary key);
    create table pair (a int, "b c" text, primary key (a, "b c"));
    create table child (
        no int primary key, parent_id int references parent, a int, "b c" text,
        twice int references parent,
        deleted boolean, guess_id int,
        foreign key (a, "b c") references pair
    );
    alter table child add constraint second foreign key (twice)
        references "Other One".parent not valid;
    create table "Other One"."My, Child" (id int primary key, "x.y" int, parent_id int);
    alter table "Other One"."My, Child" add foreign key ("x.y")
        references "Other One".parent not valid;
    create table bare (up int references parent);
    create table keyed (a int not null, b int references parent, unique (a));
    create table cut (id int, day date, up int references parent, primary key (id, day))
        partition by range (day);
    create table cut_1 partition of cut default;
"""


def build(url):
    """Make them; from PostgreSQL 18 with a key that is NOT ENFORCED."""
    with connect(url, name="tests") as connection:
        connection.execute(SCHEMA)
        if connection.info.server_version >= 180000:
            connection.execute(
                "alter table parent add up int, add foreign key (up) references parent "
                "not enforced"
            )
