"""The keys that declarations ask for, or ask not to be there: a check of the catalogs."""

# ruff: noqa: S608 - names as literals

from collections.abc import Sequence

from sexton.catalog.identifiers import dotted, identifier
from sexton.check import Check, Severity
from sexton.guard.spec import MARKER
from sexton.reference import Declarations, Reference

TEXT = """\
The database has not the foreign keys that the project file asks for.

A reference with `key = "foreign"` should be a valid foreign key, one with `key = "none"`
none, and one with `guard = true` should have a guard. A revision that was forgotten, a
restore without constraints, or a hand-made change; a key that is NOT VALID says nothing of
older rows.

There is no automatic repair: the finding says what to type. Repair the reference's own
findings first, or the key cannot be made."""


def check(declared: Declarations, module: str) -> Check | None:
    """The check of all references that say something of keys; None where none does."""
    asked = [ref for ref in declared.reference if ref.key != "any" or ref.guard]
    if not asked:
        return None
    reads: dict[str, tuple[str, ...]] = {}
    for ref in asked:
        for side in (ref.source, ref.target):
            known = reads.get(side.table, ())
            more = tuple(c for c in side.columns if c not in known)
            reads[side.table] = known + more
    values = [row for ref in asked for row in _rows(ref)]
    return Check(
        module,
        severity=Severity.ERROR,
        table="pg_constraint",
        key=("reference",),
        message="{reference}: {broken}",
        reads=reads,
        find=f"""
            select f.reference, string_agg(f.broken, '; ' order by f.broken) as broken
            from ({" union all ".join(values)}) f
            where f.broken is not null
            group by f.reference
            order by f.reference
        """,
        text=TEXT,
        manual_action="sexton revision writes a revision of yours that does what is said",
    )


def between(ref: Reference) -> str:
    """The foreign keys of the two tables, `k`, to go on after `select`."""
    child, parent = (_literal(p.table) for p in (ref.source, ref.target))
    return f"""
        from pg_constraint k
        where k.contype = 'f' and k.conrelid = to_regclass({child})
          and k.confrelid = to_regclass({parent})
    """


def alike(ref: Reference, *, guard: bool = False) -> str:
    """That a key `k` is over the reference's columns, to go on after `between`.

    That of a `guard` has a marker besides.
    """
    marker = _literal(MARKER)
    unmarked = f"where a.attname::text !~ {marker}" if guard else ""
    many = len(ref.source.columns) + guard
    pairs = zip(ref.source.columns, ref.target.columns, strict=True)
    wanted = ", ".join(_literal(f"{column}={key}") for column, key in pairs)
    return f"""
        and array(
            select a.attname::text || '='::text || b.attname::text
            from rows from (unnest(k.conkey), unnest(k.confkey)) as u (mine, theirs)
            join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.mine
            join pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.theirs
            {unmarked}
            order by 1
        ) = array(select w.pair from unnest(array[{wanted}]::text[]) w (pair) order by 1)
        and cardinality(k.conkey) = {many}
    """


def _rows(ref: Reference) -> list[str]:
    """For each thing asked a query: the reference, and what is wrong or null."""
    label = _literal(ref.label)
    keys, exact = between(ref), alike(ref)
    table = dotted(ref.source.table)
    made = []
    if ref.key == "foreign":
        ddl = _literal(
            f"no valid foreign key: alter table {table} add foreign key "
            f"({_list(ref.source.columns)}) references {dotted(ref.target.table)} "
            f"({_list(ref.target.columns)}) not valid, then validate constraint"
        )
        made.append(
            f"select {label}::text as reference, case when not exists ("
            f"select {keys} and k.convalidated {exact}) then {ddl}::text end as broken"
        )
    if ref.key == "none":
        ddl = _literal(f"a foreign key is there: alter table {table} drop constraint ")
        made.append(
            f"select {label}::text as reference, (select {ddl}::text || "
            f"string_agg(quote_ident(k.conname::text), ', '::text) {keys} {exact}) "
            "as broken"
        )
    if ref.guard:
        hint = _literal(f"no valid guard: sexton guard add {ref.source.label}")
        made.append(
            f"select {label}::text as reference, case when not exists (select {keys} "
            f"and k.convalidated {alike(ref, guard=True)}"
            f") then {hint}::text end as broken"
        )
    return made


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(identifier, columns))


def _literal(text: str) -> str:
    from sexton.catalog.relations import literal

    return literal(text)
