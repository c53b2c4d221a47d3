"""Inventories: what is read, chosen and refused."""

import pytest

from sexton.errors import ConnectionFailed, Refused, UsageError
from sexton.fleet.addresses import address
from sexton.fleet.inventory import (
    Target,
    load,
    require_no_secrets,
    select_targets,
    tolerant,
    waves,
)

FILE = """
[fleet]
per_server = 2

[[target]]
name = "a"
service = "a"
labels = { tier = "canary" }

[[target]]
name = "b"
url = "postgresql://u@h/b"
labels = { tier = "gold" }

[[target]]
name = "c"
url_env = "C_URL"

[[wave]]
name = "canary"
match = "tier=canary"
max_failures = 0
soak = "1s"

[[wave]]
name = "gold"
match = "tier=gold"
"""


def read(tmp_path, text):
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    return load(file)


def names(targets):
    return [target.name for target in targets]


def test_waves_take_their_targets_and_the_rest_goes_last(tmp_path):
    found = read(tmp_path, FILE)
    ordered = waves(found, found.target)
    assert [(wave.name, names(mine)) for wave, mine in ordered] == [
        ("canary", ["a"]),
        ("gold", ["b"]),
        ("rest", ["c"]),
    ]
    assert tolerant(ordered[0][0]).max_failures > 1000


def test_targets_are_chosen_by_label_and_by_name(tmp_path):
    found = read(tmp_path, FILE)
    assert names(select_targets(found.target, "tier=gold")) == ["b"]
    assert names(select_targets(found.target, "name=c")) == ["c"]
    with pytest.raises(UsageError, match="no target matches 'tier=iron'"):
        select_targets(found.target, "tier=iron")
    with pytest.raises(UsageError, match="'gold' is no condition"):
        select_targets(found.target, "gold")


def test_shards_are_a_partition_that_does_not_depend_on_the_others():
    targets = [Target(name=f"t{n}", service="s") for n in range(200)]
    parts = [names(select_targets(targets, shard=(i, 4))) for i in range(1, 5)]
    assert sorted(name for part in parts for name in part) == sorted(names(targets))
    assert all(30 < len(part) < 70 for part in parts)
    fewer = [names(select_targets(targets[:100], shard=(i, 4))) for i in range(1, 5)]
    assert all(set(few) <= set(part) for few, part in zip(fewer, parts, strict=True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[target]]\nname = 'a'", "needs one of"),
        ("[[target]]\nname = 'a'\nurl = 'x'\nservice = 'y'", "needs one of"),
        ("[[target]]\nname = 'a'\nurll = 'x'", "unknown field `urll`"),
        ("[[target]]\nname = 1\nurl = 'x'", r"Expected `str`, got `int` - at `\$.target"),
        ("[[target]]\nname='a'\nservice='s'\n" * 2, "two targets are called a"),
        ("[[wave]]\nname = 'w'\nsoak = 'soon'", "'soon' is no time"),
        ("[[wave]]\nname = 'w'\nparallel = 0", "negative number, or none"),
        ("[[wave]]\nname = 'w'\nmatch = '=x'", "is no condition"),
        ("not toml", "fleet.toml"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, text, says):
    with pytest.raises(UsageError, match=says) as caught:
        read(tmp_path, text)
    assert "fleet.toml" in caught.value.message


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read the inventory"):
        load(tmp_path / "none.toml")


def test_targets_come_from_a_query(tmp_path, connection, url):
    connection.execute("create table tenants (name text, schema text, ready boolean)")
    connection.execute("insert into tenants values ('b', 's2', true), ('a', 's1', true)")
    connection.execute("insert into tenants values ('half', 's3', false)")
    found = read(
        tmp_path,
        f"""
        [[source]]
        url = {url!r}
        query = '''
            select name, schema, 'x' as service, jsonb_build_object('t', name) as labels
            from tenants where ready order by name
        '''
        """,
    )
    assert [(t.name, t.schema, t.labels) for t in found.target] == [
        ("a", "s1", {"t": "a"}),
        ("b", "s2", {"t": "b"}),
    ]
    with pytest.raises(UsageError, match="a row that is no target"):
        read(tmp_path, f"[[source]]\nurl = {url!r}\nquery = 'select 1 as name'")


def test_an_inventory_of_nobody_says_where_to_read_on():
    with pytest.raises(UsageError, match="the inventory has no targets") as caught:
        select_targets([], "tier=gold")
    assert "docs/fleet.md" in str(caught.value.hint)


def test_no_password_travels():
    secret = Target(name="a", url="postgresql://u:pa55@h/d")
    with pytest.raises(Refused, match="carries a password") as caught:
        require_no_secrets([secret])
    assert "pa55" not in str(caught.value)
    spelt = Target(name="e", url="postgresql+psycopg://u@h/d")
    require_no_secrets(
        [Target(name="b", service="b"), Target(name="c", url_env="C"), spelt]
    )


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://u:pa55@[::1/d", "postgresql://u:pa55%zz@h/d", "host=h pa55"),
        *("postgresql://u:pa55@h/d?nothing=1", "pa55"),
    ],
)
def test_a_url_that_is_none_is_the_users_error_and_keeps_its_secret(url):
    with pytest.raises(UsageError, match="'d' is no connection string") as caught:
        require_no_secrets([Target(name="d", url=url)])
    assert "pa55" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(ConnectionFailed) as caught:
        address(Target(name="d", url=url))
    assert "pa55" not in f"{caught.value} {caught.value.hint}"
