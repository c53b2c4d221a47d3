"""Sexton's library: the change, the life cycle, the audit and the repair.

Every function takes an open psycopg connection, runs inside the caller's
transaction, and neither commits, prints nor exits. From SQLAlchemy, pass
`session.connection().connection.driver_connection`.
"""

__version__ = "0.1.0"
