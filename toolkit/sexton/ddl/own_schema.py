"""The schema that the version table lies in: looked at before it is made or believed."""

from sexton.catalog.relations import quoted
from sexton.ddl.session import Driver
from sexton.errors import Refused, WrongServer
from sexton.postgres import trust
from sexton.postgres.session import rows
from sexton.text.printable import printable

STATE = """
    select
        n.oid is not null as there,
        pg_catalog.has_database_privilege(d.oid, 'create'::text) as may_make,
        current_user::pg_catalog.text as "user",
        d.datname::pg_catalog.text as database,
        (
            select pg_catalog.min(r.rolname::pg_catalog.text)
            from pg_catalog.pg_roles r
            where (
                r.oid = n.nspowner
                or r.oid in (
                    select c.relowner from pg_catalog.pg_class c
                    where c.relnamespace = n.oid
                )
            )
              and r.rolname <> current_user and not r.rolsuper and r.oid <> d.datdba
              and not exists (
                  select from pg_catalog.pg_auth_members m
                  join pg_catalog.pg_roles me on me.oid = m.member
                  where m.roleid = r.oid and me.rolname = current_user
              )
              and r.rolname::pg_catalog.text <> all (%s::pg_catalog.text[])
        ) as stranger
    from pg_catalog.pg_database d
    left join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = %s
    where d.datname = pg_catalog.current_database()
"""


def require_own_schema(driver: Driver, schema: str) -> bool:
    """Whether the schema is there; raises Refused where a stranger made it.

    Trusted are, beside trusted owners (`sexton.postgres.trust`), the roles that this one is
    a member of. A stranger's trigger would run with our rights.
    """
    [state] = rows(driver, STATE, sorted(trust.named), schema)
    if state["stranger"]:
        raise Refused(
            f"the schema {printable(schema)}, or something in it, belongs to the role "
            f"{printable(state['stranger'])}, whose triggers would run with your rights",
            hint=trust.trust_hint([state["stranger"]]),
        )
    return bool(state["there"])


def make_schema(driver: Driver, schema: str) -> None:
    """Make the schema, which is not there; raises WrongServer without the right."""
    [state] = rows(driver, STATE, [], schema)
    if not state["may_make"]:
        role = quoted(state["user"])
        raise WrongServer(
            f"the role {printable(state['user'])} may not make the schema "
            f"{printable(schema)} in the database {printable(state['database'])}",
            hint=f"have it made: create schema {quoted(schema)} authorization {role}",
        )
    driver.execute(f"create schema {quoted(schema)}")
