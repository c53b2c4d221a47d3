"""Declarations: what people write of references, soft deletes and defaults."""

import pytest

from sexton.reference import (
    Declarations,
    Default,
    Reference,
    SoftDelete,
    columns,
    order,
    table,
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("invoices.customer_id", ("invoices", ("customer_id",))),
        ('shop . "order lines" ( a , "b c" )', ("shop.order lines", ("a", "b c"))),
        ('s.t."a.b"', ("s.t", ("a.b",))),
        ('t."say ""a"""', ("t", ('say "a"',))),
    ],
)
def test_a_place_is_a_table_and_its_columns(text, named):
    place = columns(text)
    assert (place.table, place.columns) == named


@pytest.mark.parametrize("text", ["", "t", "t.", "a.b.c.d", "t()", "t(a,)", '"x.y".z'])
def test_what_names_no_column_is_refused(text):
    with pytest.raises(ValueError, match=r"names no column|cannot be declared"):
        columns(text)


def test_a_table_whose_name_holds_a_dot_is_refused():
    assert table(' shop . "Order Lines" ') == "shop.Order Lines"
    with pytest.raises(ValueError, match="holds a dot"):
        table('"a.b"')


def test_an_order_has_a_column_and_a_direction():
    assert order('"Created At" DESC  nulls Last') == ("Created At", " desc nulls last")
    assert Default(table="t", flag="f", elect=("a desc", "id")).order("r", ("id", "b")) == (
        "r.a desc, r.id, r.b"
    )
    with pytest.raises(ValueError, match="is no order"):
        order("lower(a)")


def test_which_rows_count_follows_from_the_soft_deletes():
    ref = Reference(child="a.b_id", parent="b.id")
    made = Declarations(
        soft_delete=(
            SoftDelete(table="a", deleted_at="gone"),
            SoftDelete(table="c", deleted="d"),
        ),
        reference=(ref,),
    )
    assert made.sides(ref) == ("gone is null", "")
    own = Reference(child="a.b_id", parent="b.id", live="", parent_live="not dead")
    assert made.sides(own) == ("", "not dead")
    assert made.tables() == {
        "a": {"gone": "soft_delete[0].deleted_at", "b_id": "reference[0].child"},
        "c": {"d": "soft_delete[1].deleted"},
        "b": {"id": "reference[0].parent"},
    }


def test_columns_that_do_not_pair_off_and_a_death_without_a_mark_are_refused():
    with pytest.raises(ValueError, match="pairs 2 columns with 1"):
        Reference(child="a(b, c)", parent="d.e")
    with pytest.raises(ValueError, match="a soft delete has a boolean column"):
        SoftDelete(table="a")
