"""Looking at an embedded server and its directory."""

import psycopg


def answer(server):
    with psycopg.connect(server.url()) as connection:
        return connection.execute("select current_user, inet_server_addr()").fetchone()


def listing(directory):
    """Every path below a directory, with its owner and mode."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_uid, path.lstat().st_mode)
        for path in (directory, *directory.rglob("*"))
    }
