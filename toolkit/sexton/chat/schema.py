"""What the product's database has: its tables, tombstones, the provider key."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import DataError
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader

from sexton.catalog.cascades import KEYS, Key, key_of
from sexton.catalog.relations import quoted, resolve
from sexton.catalog.tables import COLUMNS, Table, assemble
from sexton.catalog.triggers import USERS
from sexton.database import Connection, rows
from sexton.errors import Refused, WrongSchema
from sexton.postgres.session import EXACT
from sexton.project import current
from sexton.text.printable import printable

MODELS = "chat_model_configs"
PROVIDERS = "chat_providers"
USER_KEYS = "user_chat_provider_keys"
TABLES = (
    *(PROVIDERS, MODELS, USER_KEYS, "chats", "chat_messages", "chat_queued_messages"),
    *("site_configs", "user_configs", "users", "dbcrypt_keys", "schema_migrations"),
)
KEYS_OF = {"site_configs": ("key",)}  # in the product it has no primary key

PROVIDER_KEYS = """
    select k.conname::pg_catalog.text as name, k.convalidated as valid
    from pg_catalog.pg_constraint k
    where k.contype = 'f'::pg_catalog."char"
      and k.conrelid
          = pg_catalog.to_regclass('chat_model_configs'::pg_catalog.text)::pg_catalog.oid
      and k.confrelid
          = pg_catalog.to_regclass('chat_providers'::pg_catalog.text)::pg_catalog.oid
      and k.conkey = array[(
          select a.attnum from pg_catalog.pg_attribute a
          where a.attrelid = k.conrelid and a.attname = 'provider'::pg_catalog.name
      )]
    order by k.conname
"""

# Sets the transaction's parameters, and says what they were and what stands in the way.
STATE = f"""
    with before as materialized (
        select p.name, pg_catalog.current_setting(p.name) as value
        from pg_catalog.unnest(%(names)s::pg_catalog.text[]) as p (name)
    ),
    changed as materialized (
        select pg_catalog.set_config(p.name, p.value, true)
        from rows from (
            pg_catalog.unnest(%(names)s::pg_catalog.text[]),
            pg_catalog.unnest(%(values)s::pg_catalog.text[])
        ) as p (name, value)
        where exists (select from before)
    )
    select
        (select pg_catalog.json_object_agg(b.name, b.value) from before b) as before,
        (select pg_catalog.count(*) from changed) as changed,
        pg_catalog.current_setting('transaction_isolation'::pg_catalog.text) as isolation,
        pg_catalog.current_setting('session_replication_role'::pg_catalog.text)
            as replication,
        current_user::pg_catalog.text as role,
        array(
            select c.relname::pg_catalog.text from pg_catalog.pg_class c
            where c.oid = any (%(oids)s::pg_catalog.oid[])
              and pg_catalog.row_security_active(c.oid)
            order by 1
        ) as hidden,
        array(
            select pg_catalog.concat(r.rulename, ' on '::pg_catalog.text, c.relname)
            from pg_catalog.pg_rewrite r
            join pg_catalog.pg_class c on c.oid = r.ev_class
            where r.ev_class = any (%(oids)s::pg_catalog.oid[])
              and r.ev_type <> '1'::pg_catalog."char"
              and r.ev_enabled <> 'D'::pg_catalog."char"
            order by 1
        ) as rules,
        (
            select pg_catalog.json_agg(k) from ({KEYS}) k
            where k.action = any (array['c', 'n', 'd']::pg_catalog.text[])
        ) as keys,
        array(
            -- Those of constraints; where rows may lie in other tables, none is known.
            select t.oid::pg_catalog.int8
            from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
            where t.tgrelid = any (%(oids)s::pg_catalog.oid[])
              and not {USERS} and not c.relhassubclass
            order by 1
        ) as triggers,
        (select pg_catalog.json_agg(c) from ({COLUMNS.replace("%s", "%(oids)s")}) c)
            as columns,
        array(
            select k.conname::pg_catalog.text
            from pg_catalog.pg_constraint k
            join pg_catalog.pg_attribute a
              on a.attrelid = k.conrelid and k.conkey operator(pg_catalog.=) array[a.attnum]
            where k.contype = 'f'::pg_catalog."char"
              and k.conrelid = %(models)s::pg_catalog.oid
              and k.confrelid = any (%(relations)s::pg_catalog.oid[])
              and a.attname = 'provider'::pg_catalog.name
            order by 1
        ) as provider_keys
"""  # noqa: S608 - a query of ours


@dataclass(frozen=True)
class Product:
    """The product's tables as this database has them, and what hangs on them.

    `before` are the parameters that were changed, as they were; `keys` what the deletion
    of a provider or of a user's key would follow; `provider_keys` are the plain ones from
    model configs to providers. `triggers` are the oids of those of constraints.
    """

    tables: Mapping[str, Table]
    keys: Collection[Key]
    provider_keys: Collection[str]
    triggers: Collection[int]
    before: Mapping[str, str]
    isolation: str
    replication: str
    rules: Sequence[str]

    def has(self, table: str, *names: str) -> bool:
        """Whether the table is there, with these columns."""
        return table in self.tables and self.tables[table].columns.keys() >= set(names)

    def require_tombstones(self) -> None:
        """Insist on the columns `deleted` and `deleted_at`; raises WrongSchema."""
        if not self.has(MODELS, "deleted", "deleted_at"):
            raise _no_tombstones()


class _Time(TimestamptzLoader):
    """Times that Python has not, infinity and those before Christ, stay text."""

    def load(self, data: Any) -> Any:
        """A datetime, or the server's own text."""
        try:
            return super().load(data)
        except DataError:
            return bytes(data).decode()


def fetch(connection: Connection, query: str, parameters: Mapping[str, Any] | None) -> Any:
    """All rows of a query with named parameters, each as a dictionary."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.adapters.register_loader("timestamptz", _Time)
        statement: Any = query
        return cursor.execute(statement, parameters).fetchall()


def read_product(connection: Connection) -> Product:
    """Resolve the product's tables by the caller's path, and look at what hangs on them.

    From here to the end of the transaction the search path is safe, and row security that
    would hide a row is an error. Raises WrongSchema without the two tables that everything
    is about, Refused where row security hides rows.
    """
    relations = resolve(connection, TABLES)
    for name in (PROVIDERS, MODELS):
        if name not in relations:
            raise _missing(connection, name)
    oids = {name: relation.oid for name, relation in relations.items()}
    path = f"pg_catalog, {quoted(relations[MODELS].schema)}, pg_temp"
    wanted = {"search_path": path, "row_security": "off", **EXACT}
    parameters = {
        "names": list(wanted),
        "values": list(wanted.values()),
        "oids": list(oids.values()),
        "models": oids[MODELS],
        "relations": [oids[name] for name in (PROVIDERS, USER_KEYS) if name in oids],
        "follow": True,
    }
    [state] = fetch(connection, STATE, parameters)
    if state["hidden"]:
        raise Refused(
            f"row security may hide rows of {', '.join(map(printable, state['hidden']))} "
            f"from the role {printable(state['role'])}",
            hint="no option lifts this: connect as the tables' owner, "
            "or as a role with bypassrls",
        )
    tables = assemble(relations, state["columns"])
    return Product(
        tables={n: replace(t, key=KEYS_OF.get(n, t.key)) for n, t in tables.items()},
        keys=[key_of(key) for key in state["keys"] or []],
        provider_keys=state["provider_keys"],
        triggers=state["triggers"],
        before=state["before"],
        isolation=state["isolation"],
        replication=state["replication"],
        rules=[printable(rule) for rule in state["rules"]],
    )


def provider_keys(connection: Connection) -> list[dict[str, Any]]:
    """The plain foreign keys from model configs to providers: name and validity."""
    return rows(connection, PROVIDER_KEYS)


def _missing(connection: Connection, table: str) -> WrongSchema:
    from sexton.chat.releases import absent

    return current().unfit(connection, schema_change=True) or absent(table)


def _no_tombstones() -> WrongSchema:
    return WrongSchema(
        f"{MODELS} has no tombstones yet: the columns deleted and deleted_at are missing",
        hint="sexton upgrade",
    )
