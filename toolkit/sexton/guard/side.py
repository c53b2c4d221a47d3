"""One table of a guard, as queries of the catalogs: its marker, and what keeps it.

The queries call tables by their whole names and everything else by pg_catalog's, so they
mean the same on any search path.
"""

from dataclasses import dataclass

from sexton.catalog.relations import literal
from sexton.guard.predicate import Mark
from sexton.guard.spec import MARKER
from sexton.guard.table import Table
from sexton.postgres.enforced import ENFORCED

SAFE = "pg_catalog, pg_temp"


def same(spelt: str, wanted: str) -> str:
    """Compare what the catalogs spell with what is wanted, quoted more or less."""
    return (
        f"pg_catalog.replace({spelt}, '\"'::text, ''::text) "
        f"= {literal(wanted.replace(chr(34), ''))}::text"
    )


def numbers(table: Table, columns: tuple[str, ...]) -> str:
    """The columns' numbers, as an array in SQL."""
    found = [
        "(select a.attnum from pg_catalog.pg_attribute a where not a.attisdropped "
        f"and a.attrelid = {table.regclass}::pg_catalog.oid and a.attname = {literal(c)})"
        for c in columns
    ]
    return f"array[{', '.join(found)}]"


def tree(table: Table) -> str:
    """The oids of a table and of its partitions."""
    return f"""
        with recursive tree as (
            select {table.regclass}::pg_catalog.oid as relation
            union
            select i.inhrelid from tree join pg_catalog.pg_inherits i
              on i.inhparent = tree.relation
        ) select relation from tree
    """


def unused(table: Table) -> str:
    """The markers of a table that no foreign key uses, `m`, to go on after `select`."""
    return f"""
        from pg_catalog.pg_attribute m
        where m.attrelid = {table.regclass}::pg_catalog.oid and not m.attisdropped
          and m.attnum > 0 and m.attname::text ~ {literal(MARKER)}::text
          and not exists (
              select from pg_catalog.pg_constraint k
              where k.contype = 'f'
                and (k.conrelid = m.attrelid and m.attnum = any (k.conkey)
                  or k.confrelid = m.attrelid and m.attnum = any (k.confkey))
          )
    """


def keepers(marker: str) -> str:
    """The conditions of a trigger `t` with the function `f` that keeps a marker.

    Known by its name, or by what it sets: it may have been made under another name.
    """
    return f"""not t.tgisinternal and t.tgparentid = 0::pg_catalog.oid and (
                t.tgname::text in ('~' || {marker}, {marker})
                or t.tgname::text ~ '^~?sexton_'::text
                   and pg_catalog.strpos(f.prosrc, 'new.' || {marker} || ' := ') > 0
            )"""


@dataclass(frozen=True)
class Side:
    """One table of a guard: its marker, and what keeps it. `mark` is None: always true.

    All guards of one table and condition share the marker: a column, and the CHECK and
    function of its name.
    """

    table: Table
    columns: tuple[str, ...]
    marker: str
    mark: Mark | None

    @property
    def trigger(self) -> str:
        """The trigger's name: of all BEFORE triggers, the last by name fires last."""
        return f"~{self.marker}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the key, the marker last."""
        return (*self.columns, self.marker)

    @property
    def check_sql(self) -> str:
        """The CHECK, to be written."""
        if self.mark is None:
            return self.marker
        return f"{self.marker} is not distinct from {self.mark.text}"

    @property
    def check_spelt(self) -> str:
        """The CHECK as the catalogs spell it."""
        if self.mark is None:
            return self.marker
        return f"(NOT ({self.marker} IS DISTINCT FROM {self.mark.text}))"

    @property
    def wrong(self) -> str:
        """The condition of a row whose marker is not what it must be."""
        return f"({self.marker} is distinct from {self.mark.text if self.mark else 'true'})"

    @property
    def when(self) -> str:
        """The condition under which the trigger is called."""
        assert self.mark is not None
        return f"(new.{self.marker} IS DISTINCT FROM {self.mark.new})"

    @property
    def body(self) -> str:
        """The body of the trigger's function."""
        assert self.mark is not None
        return f"\nbegin\n    new.{self.marker} := {self.mark.new};\n    return new;\nend\n"

    @property
    def column_there(self) -> str:
        """Whether the marker is there, true by default."""
        return f"""
            select exists (
                select from pg_catalog.pg_attribute a
                join pg_catalog.pg_attrdef d
                  on d.adrelid = a.attrelid and d.adnum = a.attnum
                where a.attrelid = {self.table.regclass}::pg_catalog.oid
                  and a.attname = {literal(self.marker)} and not a.attisdropped
                  and a.atttypid = 'pg_catalog.bool'::pg_catalog.regtype::pg_catalog.oid
                  and a.attnotnull = {"false" if self.mark else "true"}
                  and pg_catalog.pg_get_expr(d.adbin, d.adrelid) = 'true'::text
            )
        """

    @property
    def checks(self) -> str:
        """The CHECKs of this definition, valid or not, to go on after `select`."""
        return f"""
            from pg_catalog.pg_constraint k
            where k.contype = 'c' and k.conrelid = {self.table.regclass}::pg_catalog.oid
              and {same("pg_catalog.pg_get_expr(k.conbin, k.conrelid)", self.check_spelt)}
              and {ENFORCED}
        """

    @property
    def check_valid(self) -> str:
        """Whether a valid CHECK of this definition is there."""
        return f"select exists (select {self.checks} and k.convalidated)"

    @property
    def function_there(self) -> str:
        """The conditions of our function `f` on the table `c`: a stranger's is none."""
        return f"""f.proowner = c.relowner and f.pronamespace = c.relnamespace
              and f.proname = {literal(self.marker)} and f.pronargs = 0
              and {same("f.prosrc", self.body)} and not f.prosecdef
              and f.proconfig = array['search_path={SAFE}']::text[]
              and l.lanname = 'plpgsql'"""

    @property
    def trigger_there(self) -> str:
        """Whether the trigger is there, enabled, with its function, and fires last."""
        # Bits of tgtype: each row, before, insert, update. Of no columns: another trigger
        # may change what the marker depends on, whatever columns the statement names.
        return f"""
            select exists (
                select from pg_catalog.pg_trigger k
                join pg_catalog.pg_class c on c.oid = k.tgrelid
                join pg_catalog.pg_proc f on f.oid = k.tgfoid
                join pg_catalog.pg_language l on l.oid = f.prolang
                where k.tgrelid = {self.table.regclass}::pg_catalog.oid
                  and k.tgname = {literal(self.trigger)}
                  and k.tgtype = 23 and k.tgenabled in ('O', 'A')
                  and k.tgattr::text = ''::text
                  and pg_catalog.strpos(
                      pg_catalog.replace(
                          pg_catalog.pg_get_triggerdef(k.oid), '"'::text, ''::text
                      ),
                      {literal(f" WHEN ({self.when.replace(chr(34), '')}) ")}::text
                  ) > 0
                  and {self.function_there}
            ) and not exists ({self.later})
        """

    @property
    def later(self) -> str:
        """The BEFORE triggers of others that fire after ours, on partitions too."""
        return f"""
            select pg_catalog.quote_ident(t.tgname::text) as trigger,
                   c.oid::pg_catalog.regclass::text as on_table
            from pg_catalog.pg_trigger t
            join pg_catalog.pg_class c on c.oid = t.tgrelid
            where t.tgrelid in ({tree(self.table)})
              and not t.tgisinternal and t.tgparentid = 0::pg_catalog.oid
              and t.tgenabled <> 'D'
              and t.tgtype & 3::int2 = 3::int2 and t.tgtype & 20::int2 <> 0::int2
              and t.tgname > {literal(self.trigger)}
              and not pg_catalog.starts_with(t.tgname::text, '~sexton_live'::text)
              and not pg_catalog.starts_with(t.tgname::text, '~sexton_target'::text)
            order by t.tgname, c.relname limit 1
        """

    @property
    def strangers(self) -> str:
        """Functions of that name of neither the table's owner nor a superuser."""
        return f"""
            select pg_catalog.pg_get_userbyid(f.proowner)::text as owner,
                   pg_catalog.format('%I.%I()'::text, n.nspname::text, f.proname::text)
                       as function
            from pg_catalog.pg_proc f
            join pg_catalog.pg_class c on c.relnamespace = f.pronamespace
            join pg_catalog.pg_namespace n on n.oid = f.pronamespace
            join pg_catalog.pg_roles r on r.oid = f.proowner
            where c.oid = {self.table.regclass}::pg_catalog.oid
              and f.proname = {literal(self.marker)} and f.pronargs = 0
              and f.proowner <> c.relowner and not r.rolsuper
        """

    @property
    def parts(self) -> dict[str, str]:
        """Each part and the query that says whether it is there, as they are made."""
        made = {f"column {self.marker} on {self.table.name}": self.column_there}
        if self.mark:
            made[f"trigger {self.trigger} on {self.table.name}"] = self.trigger_there
        made[f"CHECK {self.marker} on {self.table.name}"] = self.check_valid
        return made

    @property
    def condition(self) -> str:
        """Which rows count, as the server says it; empty for all."""
        return self.mark.text[len("NULLIF(") : -len(", false)")] if self.mark else ""

    @property
    def counting(self) -> str:
        """The rows that count, as a table in SQL."""
        where = f" where {self.mark.text}" if self.mark else ""
        return f"(select * from {self.table.rows}{where})"
