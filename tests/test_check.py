"""What a check says of itself, and its place among others."""

from sexton.check import in_order
from sexton.project import all_checks


def test_the_order_of_repairs_follows_from_what_checks_say():
    order = in_order(all_checks())
    for name, check in all_checks().items():
        assert all(order.index(earlier) < order.index(name) for earlier in check.after)
        assert all(order.index(name) < order.index(later) for later in check.followed_by)
    first = ["chat_without_model", "message_without_model", "provider_name_unknown"]
    assert [name for name in order if name in first] == first
