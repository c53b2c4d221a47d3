"""`sexton checks` and `sexton explain`."""


def test_own_checks_are_listed_and_explained(sexton, slow):
    result = sexton("checks", "--checks", slow, database=False)
    assert "slow " in result.stdout
    assert (
        "It sleeps." in sexton("explain", "slow", "--checks", slow, database=False).stdout
    )


def test_explain_shows_the_rule_and_its_inputs(sexton, clean):
    clean.execute("alter table chats drop constraint chats_last_model_config_id_fkey")
    clean.execute(
        "insert into chats (owner_id, last_model_config_id) "
        "select gen_random_uuid(), (select id from chat_model_configs) "
        "from generate_series(1, 20000)"
    )
    clean.execute("analyze")
    said = sexton("explain", "chat_without_model").stdout
    assert "gap probing       about 0.0 ms <- chosen" in said
    assert "index      idx_chats_last_model_config_id" in said
    clean.execute("drop index idx_chats_last_model_config_id")
    document = sexton("explain", "chat_without_model", "--format", "json").json
    assert document["database"]["strategy"] == "anti-join"
    assert document["database"]["advice"] == (
        "create index concurrently on chats (last_model_config_id)"
    )


def test_explain_needs_no_database(sexton):
    result = sexton("explain", "chat_without_model", database=False)
    assert result.code == 0
    assert "On this database" not in result.stdout
