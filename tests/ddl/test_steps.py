"""Each step takes exactly the lock it declares, and rewrites no table."""

import pytest

from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.upgrade.route import known


def test_every_step_says_what_it_does_and_when_it_is_done():
    for revision in known():
        for step in (*revision.up, *revision.down):
            assert step.title
            assert step.question
            assert step.sql


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"refuze": []}, "'refuse'"),
        ({"alone": True}, "'alone', which no step has"),
        ({"lock": "exclusive of all", "tables": ["t"]}, "lock cannot be"),
        ({"lock": "access exclusive"}, "both a lock and tables"),
        ({"tables": "chats"}, "tables cannot be 'chats'"),
        ({"sql": "select 1"}, "sql cannot be"),
        ({"refuse": ["select 1"]}, "refuse cannot be"),
        ({"outside_transaction": "yes"}, "outside_transaction cannot be 'yes'"),
        ({"title": ""}, "no title"),
    ],
)
def test_a_step_that_is_none_is_refused(wrong, said):
    with pytest.raises(UsageError) as raised:
        Step.of({"title": "a step", "sql": [], **wrong})
    assert said in f"{raised.value.message} {raised.value.hint}"
