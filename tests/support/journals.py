"""What the journal holds."""

from sexton.database import rows


def journalled(connection):
    return rows(connection, "select * from sexton.changes order by run, step")
