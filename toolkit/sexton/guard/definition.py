"""What a guard is made of, as queries of the catalogs: its parts, known by definition.

The key is (columns, marker) on both sides. A marker is true on a row that counts and null
on any other, and a key of which one column is null is not looked up, nor found (MATCH
SIMPLE). Where every row of a side counts, its marker is constantly true.

The queries call tables by their whole names and everything else by pg_catalog's, so they
mean the same on any search path.
"""

from dataclasses import dataclass
from functools import cached_property

from sexton.guard.predicate import Mark
from sexton.guard.spec import GuardSpec, Names, columns_of
from sexton.guard.table import Table
from sexton.relations import literal, quoted

SAFE = "pg_catalog, pg_temp"
ENFORCED = "(pg_catalog.to_jsonb(k) ->> 'conenforced'::text) is distinct from 'false'::text"


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


@dataclass(frozen=True)
class Guard:
    """A guard bound to its tables."""

    spec: GuardSpec
    names: Names
    child: Side
    parent: Side

    @cached_property
    def keys(self) -> str:
        """The keys of this definition, valid or not, to go on after `select`.

        PostgreSQL 18 can switch a key off, any version its triggers.
        """
        child, parent = self.child, self.parent
        return f"""
            from pg_catalog.pg_constraint k
            where k.contype = 'f'
              and k.conrelid = {child.table.regclass}::pg_catalog.oid
              and k.confrelid = {parent.table.regclass}::pg_catalog.oid
              and k.conkey = {numbers(child.table, child.key)}
              and k.confkey = {numbers(parent.table, parent.key)}
              and k.confmatchtype = 's' and k.confdeltype = 'a' and k.confupdtype = 'a'
              and {ENFORCED}
              and not exists (
                  select from pg_catalog.pg_trigger t
                  where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A')
              )
        """

    @property
    def key_valid(self) -> str:
        """Whether a valid key of this definition is there."""
        return f"select exists (select {self.keys} and k.convalidated)"

    @property
    def index_there(self) -> str:
        """Whether the parent's unique index is there, and valid."""
        return f"select exists ({self.unique(self.parent.key)})"

    def unique(self, columns: tuple[str, ...]) -> str:
        """The parent's valid unique indexes over just these columns."""
        return f"""
            select from pg_catalog.pg_index k
            where k.indrelid = {self.parent.table.regclass}::pg_catalog.oid
              and k.indisunique and k.indimmediate and k.indisvalid and k.indisready
              and k.indpred is null and k.indexprs is null
              and pg_catalog.string_to_array(k.indkey::text, ' '::text)::int2[]
                  = {numbers(self.parent.table, columns)}
        """

    @property
    def parts(self) -> dict[str, str]:
        """Each part and the query that says whether it is there, as they are made."""
        names = self.names
        index = f"unique index {names.target_index} on {self.parent.table.name}"
        key = f"foreign key {names.key} on {self.child.table.name}"
        return {
            **self.parent.parts,
            index: self.index_there,
            **self.child.parts,
            key: self.key_valid,
        }

    @property
    def anything(self) -> str:
        """Whether anything is there that `remove` would take away."""
        return f"""
            select {self.child.leftovers} or {self.parent.leftovers} or exists (
                select from pg_catalog.pg_constraint
                where conrelid = {self.child.table.regclass}::pg_catalog.oid
                  and conname = {literal(self.names.key)}
            )
        """

    @property
    def whole_or_absent(self) -> str:
        """Whether every part is there, or none."""
        whole = " and ".join(f"({query})" for query in self.parts.values())
        return f"(case when ({self.anything}) then {whole} else true end)"

    @property
    def enforced(self) -> str:
        """The name of the key that enforces the reference for the rows that count.

        Valid, and with rows left out on the child's side only, and found on the parent's
        only, as valid CHECKs say. The triggers need not be there for that.
        """
        return f"""
            select k.conname::text as name {self.keys} and k.convalidated
              and ({self.child.check_valid}) and ({self.parent.check_valid})
            order by k.conname limit 1
        """

    @property
    def orphans(self) -> str:
        """Children that count without a parent that counts: how many, and examples."""
        pairs = list(zip(self.spec.columns, self.spec.parent_columns, strict=True))
        given = " and ".join(f"c.{quoted(a)} is not null" for a, _ in pairs)
        match = " and ".join(f"p.{quoted(b)} = c.{quoted(a)}" for a, b in pairs)
        shown = ", ".join(f"c.{quoted(a)}::text" for a, _ in pairs)
        rows, of = "live row" if self.child.mark else "row", self.child.table.called
        row = (
            f"pg_catalog.quote_literal({shown})" if len(pairs) == 1 else f"({shown})::text"
        )
        return f"""
            select pg_catalog.count(*) as n,
                   case when pg_catalog.count(*) = 1
                        then {literal(f"{rows} of {of} is an orphan")}::text
                        else {literal(f"{rows}s of {of} are orphans")}::text
                   end as are_orphans,
                   pg_catalog.array_to_string(
                       (pg_catalog.array_agg(distinct {row}))[1:5], ', '::text
                   ) || case when pg_catalog.count(distinct {row}) > 5 then ', …'::text
                        else ''::text end as examples
            from {self.child.counting} c
            where {given} and not exists (
                select from {self.parent.counting} p where {match}
            )
            having pg_catalog.count(*) > 0
        """

    @property
    def duplicates(self) -> str:
        """A key that two parents have that count; nothing where an index forbids it."""
        key = ", ".join(f"p.{quoted(column)}" for column in self.spec.parent_columns)
        shown = ", ".join(
            f"p.{quoted(column)}::text" for column in self.spec.parent_columns
        )
        given = " and ".join(
            f"p.{quoted(column)} is not null" for column in self.spec.parent_columns
        )
        return f"""
            select twice.example from (
                select pg_catalog.min(pg_catalog.concat_ws(', '::text, {shown})) as example
                from {self.parent.counting} p where {given}
                group by {key} having pg_catalog.count(*) > 1 limit 1
            ) as twice
            where not exists ({self.unique(self.spec.parent_columns)})
        """

    @property
    def plain_keys(self) -> str:
        """Plain foreign keys over the same columns, to go on after `select`."""
        return f"""
            from pg_catalog.pg_constraint k
            where k.contype = 'f'
              and k.conrelid = {self.child.table.regclass}::pg_catalog.oid
              and k.confrelid = {self.parent.table.regclass}::pg_catalog.oid
              and k.conkey = {numbers(self.child.table, self.spec.columns)}
        """

    @property
    def unindexed(self) -> str:
        """A row where no index helps to find the children of a parent."""
        first = numbers(self.child.table, self.spec.columns[:1])
        return f"""
            select true as bare where not exists (
                select from pg_catalog.pg_index k
                where k.indrelid = {self.child.table.regclass}::pg_catalog.oid
                  and k.indisvalid and k.indpred is null
                  and k.indkey[0] = ({first})[1]
            )
        """

    @property
    def wanted(self) -> str:
        """What its rows must have."""
        live = "live " if self.parent.mark else ""
        return live + columns_of(self.spec.parent, self.spec.parent_columns)
