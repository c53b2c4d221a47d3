"""One row carries the flag, or hands it on."""

from sexton.database import connect, rows


def test_a_dead_row_hands_its_flag_on(run, file, shop_url):
    file.write_text(
        """
        project = "shop"
        [[soft_delete]]
        table = "addresses"
        deleted = "deleted"
        [[reference]]
        child = "addresses.customer_id"
        parent = "customers.id"
        on_orphan = "tombstone"
        [[default]]
        table = "addresses"
        flag = "is_default"
        required = true
        """
    )
    with connect(shop_url, name="tests") as connection:
        connection.execute("update addresses set is_default = false, customer_id = 1")
        connection.execute(
            "update addresses set is_default = true, customer_id = 99 where id = 1"
        )
    result = run("repair", "--apply", "--max-fraction", "1")
    assert result.code == 0, result.stdout + result.stderr
    with connect(shop_url, name="tests") as connection:
        [row] = rows(connection, "select id, deleted from addresses where is_default")
    assert row == {"id": 2, "deleted": False}
