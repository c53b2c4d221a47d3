"""Work on one target, which may be a schema of a database."""

import pytest


@pytest.fixture
def fleet(sexton):
    def run(*arguments):
        return sexton("fleet", *arguments, database=False)

    return run


def test_tenants_are_schemas_of_one_database(fleet, database, tmp_path):
    from sexton.database import connect

    where = database()
    with connect(where, name="tests") as connection:
        for tenant in ("tenant 1", "tenant_2"):
            connection.execute(f'create schema "{tenant}"')
            for table in ("chat_providers", "chat_model_configs"):
                connection.execute(
                    f'create table "{tenant}".{table} (like public.{table} including all)'
                )
        connection.execute(
            'insert into "tenant 1".chat_model_configs '
            "(provider, model, context_limit, compression_threshold, is_default) "
            "values ('nobody', 'm', 1000, 70, true)"
        )
        connection.execute(
            "insert into \"tenant 1\".chat_providers (provider) values ('azure')"
        )
    file = tmp_path / "fleet.toml"
    file.write_text(
        "\n".join(
            f'[[target]]\nname = "{t}"\nurl = "{where}"\nschema = "{t}"'
            for t in ("tenant 1", "tenant_2")
        )
    )
    result = fleet(
        "audit", "orphaned_default", "--inventory", str(file), "--format", "json"
    )
    assert {r["target"]: r["status"] for r in result.json["targets"]} == {
        "tenant 1": "findings",
        "tenant_2": "clean",
    }


def test_each_reason_is_said_once_and_a_few_of_them():
    from sexton.fleet.work import _reasons

    checks = [
        {"check": f"c{n}", "status": "incomplete", "reason": f"why {n // 2}"}
        for n in range(10)
    ]
    said = _reasons([*checks, {"check": "d", "status": "fail", "reason": "no"}])
    assert said == "c0, c1: why 0; c2, c3: why 1; c4, c5: why 2; and 2 more reasons"
    assert _reasons([]) is None
