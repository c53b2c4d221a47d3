"""Which options go together, and what they mean."""

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("no_such_check",),
        ("--format", "xml"),
        ("-j", "0"),
        ("-o", "report.pdf"),
        ("--deadline", "soon"),
        ("--deadline", "-1"),
        ("--statement-timeout", "5 days"),
        ("--confirm-after", "nan"),
        ("--confirm-after", "1e300"),
        ("--fail-on", "new"),
        ("--since", "/no/such/run.json"),
        ("--only-own",),
        ("default_missing", "--skip", "default_*"),
        ("no_such_*",),
        ("--baseline", "/no/such/file.json"),
        ("--checks", "/no/such/directory"),
    ],
)
def test_wrong_usage_exits_2(sexton, arguments):
    result = sexton("audit", *arguments)
    assert result.code == 2
    assert result.stdout == ""


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("time_", ["9", "9s", "9000ms", "0.15m", "1min", "0"])
def test_times_are_written_as_people_write_them(sexton, time_):
    result = sexton("audit", "default_missing", "--statement-timeout", time_)
    assert result.code == 0


def test_names_may_have_wildcards_and_some_be_left_out(sexton, clean):
    result = sexton("audit", "default_*", "--skip", "default_disabled", "--format", "json")
    assert [c["check"] for c in result.json["checks"]] == [
        *("default_ambiguous", "default_missing", "default_under_disabled_provider"),
    ]
    result = sexton("audit", "default_mising")
    assert (result.code, "did you mean default_missing?" in result.stderr) == (2, True)
