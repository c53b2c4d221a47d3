"""What derived checks are called, and how their messages show columns."""

import pytest

from sexton.derived.naming import Shown, flag_name, reference_name, same_row, stem, template
from sexton.reference import Default, Reference


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (("invoices", "customer_id"), "invoices_customer_id"),
        (("shop.Order Lines", "Kunde-Nr"), "order_lines_kunde_nr"),
        (("1st",), "t_1st"),
        (("ÄÖ",), "t_"),
    ],
)
def test_a_check_is_called_after_what_it_looks_at(names, called):
    assert stem(*names) == called


def test_an_own_name_is_taken_as_it_is():
    ref = Reference(child="shop.invoices(a, b)", parent="t(c, d)")
    assert reference_name(ref) == "invoices_a_b_dangling"
    assert reference_name(Reference(child="a.b", parent="c.d", name="mine")) == "mine"
    assert flag_name(Default(table="shop.addresses", flag="f")) == "addresses_default"
    assert flag_name(Default(table="t", flag="f", name="home")) == "home"


def test_columns_whose_names_no_template_can_hold_get_others():
    shown = Shown()
    assert shown(["id"]) == "{id}"
    assert shown(["a", "b {c}"]) == "({a}, {value_1})"
    assert shown.select == {"value_1": 'this."b {c}"'}
    assert template("{a}") == "{{a}}"
    assert same_row(["id", "b c"]) == {"id": "found.id", "b c": 'found."b c"'}
