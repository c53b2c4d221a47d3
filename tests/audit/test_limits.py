"""Nothing takes longer than it may."""

import contextlib

from tests.support.audits import SLOW, run
from tests.support.tools import second_connection


def test_a_statement_that_takes_too_long_is_incomplete(free):
    outcomes = run(free, SLOW, "default_missing", statement_timeout=0.1)
    assert outcomes["slow"].reason == "stopped after 0.1 s, its timeout"
    assert outcomes["default_missing"].status == "pass"


def test_a_locked_table_is_not_waited_for(url, free):
    with contextlib.closing(second_connection(url)) as other, other.transaction():
        other.execute("lock table chat_messages in access exclusive mode")
        pid = other.info.backend_pid
        outcomes = run(free, "priced_message_without_model", "default_missing")
    assert outcomes["priced_message_without_model"].status == "incomplete"
    assert str(outcomes["priced_message_without_model"].reason).startswith(
        f"chat_messages is locked: pid {pid}, "
    )
    assert outcomes["default_missing"].status == "pass"
