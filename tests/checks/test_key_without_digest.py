import uuid

from tests.support.tools import add_provider, add_user, assert_clean, look

NAME = "key_without_digest"


def encrypt(connection):
    connection.execute(
        "insert into dbcrypt_keys (number, active_key_digest, test) values (1, 'd1', '')"
    )


def add_key(connection, provider, **columns):
    values = {"user_id": add_user(connection), "chat_provider_id": provider}
    values |= {"api_key": "sk-secret", "id": uuid.uuid4(), **columns}
    names = ", ".join(values)
    placeholders = ", ".join(["%s"] * len(values))
    connection.execute(
        f"insert into user_chat_provider_keys ({names}) values ({placeholders})",
        list(values.values()),
    )
    return values["id"]


def test_plain_keys_are_fine_where_nothing_is_encrypted(upstream):
    provider = add_provider(upstream, "openai", api_key="sk-secret")
    add_key(upstream, provider)
    assert_clean(upstream, NAME)


def test_digests_are_fine_where_keys_are_encrypted(upstream):
    encrypt(upstream)
    provider = add_provider(upstream, "openai", api_key="…", api_key_key_id="d1")
    add_provider(upstream, "google")
    add_key(upstream, provider, api_key_key_id="d1")
    assert_clean(upstream, NAME)


def test_a_key_in_the_clear_is_told_with_its_table(upstream):
    encrypt(upstream)
    provider = add_provider(upstream, "openai", api_key="sk-secret")
    key = add_key(upstream, provider)
    outcome = look(upstream, NAME)
    assert {(f.table, f.key["id"]) for f in outcome.findings} == {
        ("chat_providers", str(provider)),
        ("user_chat_provider_keys", str(key)),
    }
    assert "sk-secret" not in f"{outcome.findings}"


def test_a_digest_without_a_key(upstream):
    encrypt(upstream)
    add_provider(upstream, "openai", api_key_key_id="d1")
    [finding] = look(upstream, NAME).findings
    assert "is empty, yet a digest" in finding.message


def test_our_tables_without_encryption_are_looked_at(connection):
    add_provider(connection, "openai", api_key_key_id="d1")
    outcome = look(connection, NAME)
    assert outcome.count == 1
    assert "absent: dbcrypt_keys" in outcome.scope
