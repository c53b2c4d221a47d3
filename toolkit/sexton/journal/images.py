"""Images: rows as jsonb that reads back the same, without secrets, in SQL.

What JSON cannot tell apart is told apart here. A `%` in what these functions return is
doubled, as for a statement that has parameters.
"""

from collections.abc import Iterable, Mapping, Sequence

from sexton.catalog.relations import literal, quoted
from sexton.catalog.tables import Column, Table
from sexton.project import current

# In an image, the name under which stand the columns that hold a JSON null: SQL's own null
# reads the same. No column can have this name.
JSON_NULLS = ""


def column(name: str) -> str:
    """A column's name in a statement that has parameters."""
    return quoted(name).replace("%", "%%")


def text(value: str) -> str:
    """A literal of type text in a statement that has parameters."""
    return f"{literal(value)}::pg_catalog.text".replace("%", "%%")


def image(table: Table, row: str, *, without: Iterable[str] = ()) -> str:
    """A row as jsonb, without secrets and what the server computes.

    `row` is an alias of the table or of a query that has its columns. A value of type json
    is kept as its text, which jsonb would not.
    """
    made = f"pg_catalog.to_jsonb({row})"
    hidden = {c.name for c in table.columns.values() if c.generated} | set(without)
    hidden |= current().secrets & set(table.columns)
    for name in sorted(hidden):
        made += f" operator(pg_catalog.-) {text(name)}"
    for name, pattern in sorted(current().sensitive.items()):
        if name in table.columns:
            made += (
                f" operator(pg_catalog.-) case when {matches(row, name, pattern)} "
                f"then {text(name)} else {text('')} end"
            )
    shown = [
        (its, f"{row}.{column(its.name)}")
        for its in table.columns.values()
        if its.name not in hidden
    ]
    return f"({made}{_exactly(shown)})"


def pick(table: Table, values: Mapping[str, str]) -> str:
    """Some columns as jsonb, each with the SQL of its value, without secrets."""
    shown = {n: sql for n, sql in values.items() if n not in current().secrets}
    pairs = ", ".join(f"{text(name)}, {sql}" for name, sql in shown.items())
    typed = [(table.columns[name], sql) for name, sql in shown.items()]
    return f"(pg_catalog.jsonb_build_object({pairs}){_exactly(typed)})"


def _exactly(columns: Iterable[tuple[Column, str]]) -> str:
    """What makes of a JSON object of columns one that reads back the same."""
    added = ""
    nulls: list[tuple[str, str]] = []
    for shown, value in columns:
        if shown.type == "json":
            added += (
                " operator(pg_catalog.||) pg_catalog.jsonb_build_object("
                f"{text(shown.name)}, {value}::pg_catalog.text)"
            )
        elif shown.type == "jsonb":
            test = f"{value} operator(pg_catalog.=) 'null'::pg_catalog.jsonb"
            nulls.append((test, text(shown.name)))
    if nulls:
        added += (
            f" operator(pg_catalog.||) case when {' or '.join(t for t, _ in nulls)} "
            f"then pg_catalog.jsonb_build_object({text(JSON_NULLS)}, {_chosen(nulls)}) "
            "else '{}'::pg_catalog.jsonb end"
        )
    return added


def _chosen(cases: Sequence[tuple[str, str]]) -> str:
    """The names whose test holds, at least one: text[]."""
    if len(cases) == 1:
        return f"array[{cases[0][1]}]"
    named = ", ".join(f"case when {test} then {name} end" for test, name in cases)
    return f"pg_catalog.array_remove(array[{named}], null)"


def read(table: Table, name: str, json: str, index: int | None = None) -> str:
    """A column's value out of a JSON object that `image` or `pick` made.

    With an `index`, the object holds an array for each column, and the value stands there.
    """

    def at(name: str, last: str = "->") -> str:
        if index is None:
            return f"({json} operator(pg_catalog.{last}) {text(name)})"
        inner = f"({json} operator(pg_catalog.->) {text(name)})"
        return f"({inner} operator(pg_catalog.{last}) {index:d}::pg_catalog.int4)"

    type = table.columns[name].type
    if type == "jsonb":
        null = "'null'::pg_catalog.jsonb"
        return (
            f"case when {at(JSON_NULLS)} operator(pg_catalog.?) {text(name)} then {null} "
            f"when {at(name)} operator(pg_catalog.<>) {null} then {at(name)} end"
        )
    if type.endswith("[]") or "." in type:  # whose text in JSON is not its text in SQL
        row = f"pg_catalog.jsonb_build_object({text(name)}, {at(name)})"
        made = f"pg_catalog.jsonb_populate_record(null::{table.sql}, {row})"
        return f"({made}).{column(name)}"
    return f"{at(name, '->>')}::{type}"


def matches(row: str, name: str, pattern: str) -> str:
    """Whether a column's value holds a secret, as the project's pattern says."""
    return f"{row}.{column(name)}::pg_catalog.text operator(pg_catalog.~) {text(pattern)}"


def withheld(table: Table, before: str | None, after: str | None) -> str:
    """The columns that undo cannot bring back, for the journal does not keep them: text[].

    Of a changed row those whose value changes, of a deleted one those that hold one.
    """
    if before is None:
        return "null::pg_catalog.text[]"
    cases = []
    patterns: dict[str, str] = dict.fromkeys(current().secrets, "")
    for name, pattern in sorted((patterns | dict(current().sensitive)).items()):
        if name not in table.columns:
            continue
        old = f"{before}.{column(name)}::pg_catalog.text"
        test = f"{old} operator(pg_catalog.<>) {text('')}"
        if pattern:
            test = matches(before, name, pattern)
        if after is not None:
            new = f"{after}.{column(name)}::pg_catalog.text"
            changed = (
                f"row({old})::pg_catalog.record operator(pg_catalog.*<>) "
                f"row({new})::pg_catalog.record"
            )
            if pattern:
                changed += f" and ({test} or {matches(after, name, pattern)})"
            test = changed
        cases.append(f"case when {test} then {text(name)} end")
    if not cases:
        return "null::pg_catalog.text[]"
    return f"pg_catalog.array_remove(array[{', '.join(cases)}], null)"


def key_object(key: Iterable[str], row: str) -> str:
    """The key of a row as jsonb."""
    pairs = ", ".join(f"{text(name)}, {row}.{column(name)}" for name in key)
    return f"pg_catalog.jsonb_build_object({pairs})"


def keyed(table: Table, key: Iterable[str], json: str, *, by: str) -> tuple[str, str]:
    """A key out of a JSON object, as columns, and what joins row `t` to them in `by`."""
    names = list(enumerate(key))
    typed = ", ".join(f"{read(table, name, json)} as k{i}" for i, name in names)
    same = " and ".join(
        f"t.{column(name)} operator(pg_catalog.=) {by}.k{i}" for i, name in names
    )
    return typed, same
