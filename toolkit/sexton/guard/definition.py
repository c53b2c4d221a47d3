"""What a guard is made of, as queries of the catalogs: its parts, known by definition.

The key is (columns, marker) on both sides. A marker is true on a row that counts and null
on any other, and a key of which one column is null is not looked up, nor found (MATCH
SIMPLE). Where every row of a side counts, its marker is constantly true.

The queries call tables by their whole names and everything else by pg_catalog's, so they
mean the same on any search path.
"""

from dataclasses import dataclass
from functools import cached_property

from sexton.catalog.relations import literal, quoted
from sexton.guard.side import Side, numbers, unused
from sexton.guard.spec import DEFERRABLE, MARKER, GuardSpec, Names, columns_of
from sexton.postgres.enforced import ENFORCES, WHOLE


@dataclass(frozen=True)
class Guard:
    """A guard bound to its tables."""

    spec: GuardSpec
    names: Names
    child: Side
    parent: Side

    @property
    def ours(self) -> str:
        """The keys of guards of these columns, of any condition and name: `k`, `x`, `y`."""
        child, parent = self.child, self.parent
        many = len(child.columns)
        return f"""
            from pg_catalog.pg_constraint k
            join pg_catalog.pg_attribute x
              on x.attrelid = k.conrelid and x.attnum = k.conkey[{many + 1}]
            join pg_catalog.pg_attribute y
              on y.attrelid = k.confrelid and y.attnum = k.confkey[{many + 1}]
            where k.contype = 'f' and k.conparentid = 0::pg_catalog.oid
              and k.conrelid = {child.table.regclass}::pg_catalog.oid
              and k.confrelid = {parent.table.regclass}::pg_catalog.oid
              and pg_catalog.cardinality(k.conkey) = {many + 1}
              and k.conkey[1:{many}] = {numbers(child.table, child.columns)}
              and k.confkey[1:{many}] = {numbers(parent.table, parent.columns)}
              and x.attname::text ~ {literal(MARKER)}::text
              and y.attname::text ~ {literal(MARKER)}::text
        """

    @property
    def old(self) -> str:
        """The keys of guards of these columns, of another condition."""
        return f"""{self.ours} and not (
            x.attname = {literal(self.child.marker)}
            and y.attname = {literal(self.parent.marker)}
        )"""

    @cached_property
    def keys(self) -> str:
        """The keys of this definition, valid or not, to go on after `select`.

        One that is switched off, wholly or on one partition, is none.
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
              and {WHOLE}
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
        """The parent's valid unique indexes over just these columns, in any order."""
        return f"""
            select from pg_catalog.pg_index k
            where k.indrelid = {self.parent.table.regclass}::pg_catalog.oid
              and k.indisunique and k.indimmediate and k.indisvalid and k.indisready
              and k.indpred is null and k.indexprs is null
              and k.indnatts = {len(columns)}
              and k.indkey::int2[] @> {numbers(self.parent.table, columns)}
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
            f"{key}{self.deferred_said}": f"{self.key_valid} and ({self.deferral_there})",
        }

    @property
    def deferred_said(self) -> str:
        """When the key is checked, if that is asked for, to go on after its name."""
        clause = DEFERRABLE[self.spec.deferrable or "no"]
        return f", {clause}" if clause else ""

    @property
    def deferral_there(self) -> str:
        """Whether the keys of this definition are checked when they should be."""
        said = self.spec.deferrable
        if said is None:
            return "select true"
        return f"""
            select not exists (
                select {self.keys} and (k.condeferrable, k.condeferred) is distinct from
                    ({"false" if said == "no" else "true"},
                     {"true" if said == "deferred" else "false"})
            )
        """

    @property
    def anything(self) -> str:
        """Whether anything is there that `remove` would take away.

        That is its key, and markers that no other guard uses.
        """
        return f"""
            select exists (select {self.ours}) or exists (
                select from pg_catalog.pg_constraint
                where conrelid = {self.child.table.regclass}::pg_catalog.oid
                  and conname = {literal(self.names.key)}
            ) or exists (select {unused(self.child.table)})
              or exists (select {unused(self.parent.table)})
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
            select k.conname::text as name {self.keys} and {ENFORCES}
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
        """A row where no index finds the children of a parent by all of its columns.

        A partial one does only where it leaves out no more than nulls.
        """
        table, columns = self.child.table, self.spec.columns
        many = len(columns)
        predicate = "pg_catalog.pg_get_expr(k.indpred, k.indrelid)"
        for said in ('"', *(f"({column} IS NOT NULL)" for column in columns), " AND "):
            bare = said if said == '"' else said.replace('"', "")
            predicate = f"pg_catalog.replace({predicate}, {literal(bare)}::text, ''::text)"
        return f"""
            select true as bare where not exists (
                select from pg_catalog.pg_index k
                join pg_catalog.pg_class c on c.oid = k.indexrelid
                join pg_catalog.pg_am m on m.oid = c.relam
                where k.indrelid = {table.regclass}::pg_catalog.oid
                  and k.indisvalid and k.indislive and k.indnkeyatts >= {many}
                  and m.amname in ('btree', 'hash')
                  and (k.indkey::int2[])[0:{many - 1}] @> {numbers(table, columns)}
                  and coalesce({predicate}, '') in ('', '()')
                  and not exists (
                      select from pg_catalog.generate_series(0, {many - 1}) as n (n)
                      join pg_catalog.pg_attribute a
                        on a.attrelid = k.indrelid
                       and a.attnum = (k.indkey::int2[])[n.n]
                      where a.attcollation <> (k.indcollation::oid[])[n.n]
                  )
            )
        """

    @property
    def wanted(self) -> str:
        """What its rows must have."""
        live = "live " if self.parent.mark else ""
        return live + columns_of(self.spec.parent, self.spec.parent_columns)
