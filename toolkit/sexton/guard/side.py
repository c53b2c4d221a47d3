"""One table of a guard, as queries of the catalogs: its marker, and what keeps it.

The queries call tables by their whole names and everything else by pg_catalog's, so they
mean the same on any search path.
"""

from dataclasses import dataclass, replace

from sexton.catalog.relations import literal
from sexton.guard.predicate import Mark
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


@dataclass(frozen=True)
class Side:
    """One table of a guard: its marker, and what keeps it. `mark` is None: always true."""

    table: Table
    columns: tuple[str, ...]
    marker: str
    check: str
    trigger: str
    mark: Mark | None

    def called(self, marker: str, check: str, trigger: str) -> "Side":
        """The same side, of which the parts have other names."""
        return replace(self, marker=marker, check=check, trigger=trigger)

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
    def watched(self) -> tuple[str, ...]:
        """The columns that call the trigger when they are updated."""
        assert self.mark is not None
        return (*(c for c in self.mark.columns if c != self.marker), self.marker)

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
              and f.proname = {literal(self.trigger)} and f.pronargs = 0
              and {same("f.prosrc", self.body)} and not f.prosecdef
              and f.proconfig = array['search_path={SAFE}']::text[]
              and l.lanname = 'plpgsql'"""

    @property
    def trigger_there(self) -> str:
        """Whether the trigger is there, enabled always, with its function."""
        # Bits of tgtype: each row, before, insert, update.
        return f"""
            select exists (
                select from pg_catalog.pg_trigger k
                join pg_catalog.pg_class c on c.oid = k.tgrelid
                join pg_catalog.pg_proc f on f.oid = k.tgfoid
                join pg_catalog.pg_language l on l.oid = f.prolang
                where k.tgrelid = {self.table.regclass}::pg_catalog.oid
                  and k.tgtype = 23 and k.tgenabled in ('O', 'A')
                  and pg_catalog.string_to_array(k.tgattr::text, ' '::text)::int2[]
                      = {numbers(self.table, self.watched)}
                  and pg_catalog.strpos(
                      pg_catalog.replace(
                          pg_catalog.pg_get_triggerdef(k.oid), '"'::text, ''::text
                      ),
                      {literal(f" WHEN ({self.when.replace(chr(34), '')}) ")}::text
                  ) > 0
                  and {self.function_there}
            )
        """

    @property
    def strangers(self) -> str:
        """Functions in the way that belong neither to the table's owner nor a superuser."""
        return f"""
            select pg_catalog.pg_get_userbyid(f.proowner)::text as owner,
                   pg_catalog.format('%I.%I()'::text, n.nspname::text, f.proname::text)
                       as function
            from pg_catalog.pg_proc f
            join pg_catalog.pg_class c on c.relnamespace = f.pronamespace
            join pg_catalog.pg_namespace n on n.oid = f.pronamespace
            join pg_catalog.pg_roles r on r.oid = f.proowner
            where c.oid = {self.table.regclass}::pg_catalog.oid
              and f.proname = {literal(self.trigger)} and f.pronargs = 0
              and f.proowner <> c.relowner and not r.rolsuper
        """

    @property
    def leftovers(self) -> str:
        """Whether anything of this side is there by its name."""
        table = f"{self.table.regclass}::pg_catalog.oid"
        return f"""exists (
                select from pg_catalog.pg_attribute where attrelid = {table}
                  and attname = {literal(self.marker)} and not attisdropped
            ) or exists (
                select from pg_catalog.pg_trigger where tgrelid = {table}
                  and tgname = {literal(self.trigger)}
            ) or exists (
                select from pg_catalog.pg_constraint where conrelid = {table}
                  and conname = {literal(self.check)}
            ) or exists (
                select from pg_catalog.pg_proc f
                join pg_catalog.pg_class c on c.relnamespace = f.pronamespace
                where c.oid = {table} and f.proname = {literal(self.trigger)}
                  and f.pronargs = 0 and not exists (
                      select from ({self.strangers}) as of_others
                  )
            )"""

    @property
    def differs(self) -> str:
        """Whether a CHECK bears the name, and says another condition."""
        return f"""exists (
                select from pg_catalog.pg_constraint k
                where k.contype = 'c' and k.conname = {literal(self.check)}
                  and k.conrelid = {self.table.regclass}::pg_catalog.oid
            ) and not exists (select {self.checks})"""

    @property
    def unlike(self) -> str:
        """Whether something is there by name, and not what the first step makes."""
        kept = self.trigger_there if self.mark else f"select exists (select {self.checks})"
        return f"(({self.leftovers}) and not (({self.column_there}) and ({kept})))"

    @property
    def parts(self) -> dict[str, str]:
        """Each part and the query that says whether it is there, as they are made."""
        made = {f"column {self.marker} on {self.table.name}": self.column_there}
        if self.mark:
            made[f"trigger {self.trigger} on {self.table.name}"] = self.trigger_there
        made[f"CHECK {self.check} on {self.table.name}"] = self.check_valid
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
