"""The checks that follow from declarations: ordinary ones, each with its explanation."""

import re
from collections.abc import Iterator, Sequence

from sexton import declared_keys, reference
from sexton.check import Check, Delete, Severity, Update
from sexton.check import Reference as SoftReference
from sexton.guard.spec import GuardSpec
from sexton.identifiers import identifier
from sexton.reference import Declarations, Default, Reference, SoftDelete

KEYS = "declared_keys"  # the check of the keys that are asked for
AMONG = "sexton_among"  # the rows that may carry a flag


def checks(declared: Declarations, package: str) -> dict[str, Check]:
    """The checks of all entries by name; raises ValueError where two have one name."""
    made: dict[str, Check] = {}
    for path, check in _checks(declared, package):
        if check.name in made:
            raise ValueError(
                f"{path}: there is a check {check.name} already: write another `name`"
            )
        made[check.name] = check
    return made


def _checks(declared: Declarations, package: str) -> Iterator[tuple[str, Check]]:
    if keys := declared_keys.check(declared, f"{package}.{KEYS}"):
        yield "key", keys
    for n, soft in enumerate(declared.soft_delete):
        for check in _soft_delete(declared, package, soft):
            yield f"soft_delete[{n}]", check
    for n, ref in enumerate(declared.reference):
        yield f"reference[{n}]", _reference(declared, package, ref)
    for n, flag in enumerate(declared.default):
        for check in _default(declared, package, flag):
            yield f"default[{n}]", check


def stem(*names: str) -> str:
    """What a check is called after: the last part of a table, columns, in small letters."""
    table, *columns = names
    words = "_".join([table.rpartition(".")[2], *columns])
    found = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return found if found and not found[0].isdigit() else f"t_{found}"


def guards(declared: Declarations) -> tuple[GuardSpec, ...]:
    """The guards that are declared: `guard = true` of a reference."""
    return tuple(
        GuardSpec(
            ref.source.table,
            ref.source.columns,
            ref.target.table,
            ref.target.columns,
            *declared.sides(ref),
            check=reference_name(ref),
        )
        for ref in declared.reference
        if ref.guard
    )


def reference_name(ref: Reference) -> str:
    """The name of a reference's check."""
    place = ref.source
    return ref.name or f"{stem(place.table, *place.columns)}_dangling"


class _Shown:
    """Columns in a message, by a name that a template can hold."""

    def __init__(self) -> None:
        self.select: dict[str, str] = {}

    def __call__(self, columns: Sequence[str]) -> str:
        """One column as `{id}`, several as `({a}, {b})`."""
        said = ", ".join(self._one(column) for column in columns)
        return f"({said})" if len(columns) > 1 else said

    def _one(self, column: str) -> str:
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column):
            return "{" + column + "}"
        name = f"value_{len(self.select) + 1}"
        self.select[name] = f"this.{identifier(column)}"
        return "{" + name + "}"


def _text(text: str) -> str:
    """A name in a message's template."""
    return text.replace("{", "{{").replace("}", "}}")


# -- references ----------------------------------------------------------------------------


def _reference(declared: Declarations, package: str, ref: Reference) -> Check:
    child, parent = ref.source, ref.target
    live, parent_live = declared.sides(ref)
    shown = _Shown()
    id = declared.id(child.table)
    missing = "is no live row" if parent_live else "does not exist"
    return Check(
        f"{package}.{reference_name(ref)}",
        severity=ref.severity,
        table=child.table,
        key=id,
        message=f"{_text(child.table)} {shown(id)} names {_text(parent.table)} "
        f"{shown(child.columns)}, which {missing}",
        live=live,
        reference=SoftReference(
            child.columns,
            parent.table,
            parent.columns,
            parent_live=parent_live,
            guarded=ref.guard,
        ),
        select=shown.select,
        text=_explained(ref, live, parent_live),
        repair=_cure(declared, ref, shown, missing),
        data_loss="the rows themselves, which only the journal keeps"
        if ref.on_orphan == "delete"
        else None,
        manual_action=f"make the row of {parent.table}, or change or delete the row"
        if ref.on_orphan == "report"
        else None,
        followed_by=_flags(declared, child.table) if ref.on_orphan != "report" else (),
    )


def _cure(
    declared: Declarations, ref: Reference, shown: "_Shown", missing: str
) -> Update | Delete | tuple[()]:
    """What `on_orphan` says."""
    child, parent = ref.source, ref.target
    on = _same(declared.id(child.table))
    why = f"{_text(parent.table)} {shown(child.columns)} {missing}"
    match ref.on_orphan:
        case "tombstone":
            soft = declared.soft(child.table)
            assert soft is not None  # `validate` has seen to it
            marks = {soft.deleted: "true", soft.deleted_at: "now()"}
            marks = {column: value for column, value in marks.items() if column}
            return Update(set=marks, why=f"{why}: the row dies with it", on=on)
        case "null":
            # Of a composite reference one NULL is enough, and the others serve more.
            last = child.columns[-1]
            return Update(set={last: "null"}, why=f"{why}: {_text(last)} is emptied", on=on)
        case "delete":
            return Delete(why=f"{why}: the row goes with it", on=on)
    return ()


def _same(id: Sequence[str]) -> dict[str, str]:
    return {column: f"found.{identifier(column)}" for column in id}


def _flags(declared: Declarations, table: str) -> tuple[str, ...]:
    """The checks of the defaults in a table: whose rows die, may have carried the flag."""
    found: list[str] = []
    for mine, flag in declared.defaults():
        if mine == table:
            name = flag_name(flag)
            found += [f"{name}_dangling"] if _among(declared, flag) else []
            found += [f"{name}_missing"] if flag.required else []
    return tuple(found)


CURES = {
    "tombstone": "The repair turns the row into a tombstone, as the deletion of its parent "
    "should have: history keeps it. Nothing else is lost.",
    "null": "The repair empties the column that names the row, the last one of several. "
    "What it named, the journal keeps.",
    "delete": "The repair deletes the row. Only the journal keeps it, so it takes "
    "`--unsafe`; undo brings it back.",
    "report": "There is no automatic repair: a person must make the row that is named, or "
    "change or delete the row that names it.",
}


def _explained(ref: Reference, live: str, parent_live: str) -> str:
    counts = [
        f"Of {place.table} those rows count for which: {' '.join(text.split())}."
        for place, text in ((ref.source, live), (ref.target, parent_live))
        if text
    ]
    living = "live row" if parent_live else "row"
    return "\n\n".join(
        [
            f"`{ref.source.label}` leads to no {living} of `{ref.target.table}`.",
            " ".join(
                [
                    f"Every value of {ref.source.label} should be found in "
                    f"{ref.target.label}; NULL refers to nothing.",
                    *counts,
                    "Where no foreign key insists on it, a raw statement, an old release "
                    "or a restore leaves such rows behind, and so does whoever deletes "
                    "the row that they name.",
                ]
            ),
            CURES[ref.on_orphan],
        ]
    )


# -- soft deletes --------------------------------------------------------------------------


def _soft_delete(declared: Declarations, package: str, soft: SoftDelete) -> Iterator[Check]:
    table = reference.table(soft.table)
    id, name = declared.id(table), soft.name or stem(table)
    if soft.deleted:
        yield _half_deleted(package, soft, table, id, name)
    if soft.deleted_at:
        shown = _Shown()
        at = identifier(soft.deleted_at)
        yield Check(
            f"{package}.{name}_deleted_at_implausible",
            severity=Severity.WARNING,
            table=table,
            key=id,
            message=f"{_text(table)} {shown(id)}: {_text(soft.deleted_at)} is {{at}}, "
            "which is no time of a deletion",
            reads={table: (*id, soft.deleted_at)},
            where=f"this.{at} > now() + interval '1 day' "
            f"or this.{at} < timestamp '1970-01-01'",
            select={**shown.select, "at": f"to_json(this.{at}) #>> '{{}}'"},
            text="\n\n".join(
                [
                    f"`{table}.{soft.deleted_at}` cannot be true.",
                    "It lies more than a day ahead, for clocks and zones differ, or "
                    "before 1970: an import, or a clock that was wrong. Reports of what "
                    "existed when are then wrong as well, and what is cleared away by age "
                    "never is, or at once.",
                    "There is no automatic repair: when the row was deleted, only other "
                    "records can tell.",
                ]
            ),
            manual_action="find out when the row was deleted, and correct the column",
        )


def _half_deleted(
    package: str, soft: SoftDelete, table: str, id: tuple[str, ...], name: str
) -> Check:
    shown = _Shown()
    flag, at = identifier(soft.deleted), identifier(soft.deleted_at)
    if soft.deleted_at:
        first = f"`{soft.deleted}` and `{soft.deleted_at}` of `{table}` disagree."
        where = f"this.{flag} is distinct from (this.{at} is not null)"
        said = f"{_text(soft.deleted)} is {{mark}}, {_text(soft.deleted_at)} {{at}}"
        times = {"at": f"coalesce(to_json(this.{at}) #>> '{{}}', 'null')"}
    else:
        first = f"`{table}.{soft.deleted}` is null: neither live nor a tombstone."
        where = f"this.{flag} is null"
        said, times = f"{_text(soft.deleted)} is {{mark}}", {}
    return Check(
        f"{package}.{name}_half_deleted",
        severity=soft.severity,
        table=table,
        key=id,
        message=f"{_text(table)} {shown(id)}: {said}",
        reads={table: (*id, *filter(None, (soft.deleted, soft.deleted_at)))},
        where=where,
        select={
            **shown.select,
            "mark": f"coalesce(this.{flag}::text, 'null')",
            **times,
        },
        text="\n\n".join(
            [
                first,
                "No constraint ties the marks together, so a raw statement sets one and "
                "forgets the other. Whoever reads the one takes the row for live, whoever "
                "reads the other for deleted.",
                "There is no automatic repair: a person must say whether the row is "
                "deleted.",
            ]
        ),
        manual_action="say whether the row is deleted, and set the marks alike",
    )


# -- defaults ------------------------------------------------------------------------------


def _default(declared: Declarations, package: str, flag: Default) -> Iterator[Check]:
    table, among = reference.table(flag.table), _among(declared, flag)
    name = flag_name(flag)
    made = _Flag(flag, table, among, declared.id(table))
    if flag.required:
        yield made.missing(f"{package}.{name}_missing")
    yield made.ambiguous(f"{package}.{name}_ambiguous")
    if among:
        yield made.dangling(f"{package}.{name}_dangling")


def flag_name(flag: Default) -> str:
    """What the checks of a default are called after."""
    return flag.name or f"{stem(flag.table)}_default"


def _among(declared: Declarations, flag: Default) -> str:
    return declared.live(reference.table(flag.table)) if flag.among is None else flag.among


class _Flag:
    """The parts of the queries about one flag."""

    def __init__(self, flag: Default, table: str, among: str, id: tuple[str, ...]) -> None:
        self.flag, self.table, self.among, self.id = flag, table, among, id
        self.followed_by = (f"{flag_name(flag)}_missing",) if flag.required else ()
        where = f" where (\n{among}\n)" if among else ""
        self.source = (
            f"with {AMONG} as not materialized "  # noqa: S608
            f"(select * from {identifier(table)}{where})"
        )
        self.flagged = f"r.{identifier(flag.flag)}"
        self.group = [f"r.{identifier(column)}" for column in flag.per]
        self.part = f"partition by {', '.join(self.group)}" if self.group else ""
        self.some = " and ".join(f"{column} is not null" for column in self.group)
        self.label = f"`{table}.{flag.flag}`"
        self.each = f" for each {', '.join(flag.per)}" if flag.per else ""
        self.counts = f" among those for which: {' '.join(among.split())}" if among else ""
        self.by = ", ".join(flag.elect or id)
        self.reads = {table: tuple(dict.fromkeys([*id, flag.flag, *flag.per]))}

    def said(self, prefix: str, columns: Sequence[str]) -> str:
        """Columns of `d` as a list for SELECT."""
        return ", ".join(f"{prefix}.{identifier(column)}" for column in columns)

    def of(self, shown: _Shown) -> str:
        """Which group, in a message."""
        said = [f" of {_text(column)} {shown([column])}" for column in self.flag.per]
        return "".join(said)

    def missing(self, module: str) -> Check:
        """No row of a group carries the flag."""
        shown = _Shown()
        of = self.of(shown)
        names = [f"g.{identifier(column)}" for column in self.flag.per]
        more = [f"g.{identifier(c)} as {name}" for c, name in self._renamed(shown)]
        heirs = [f"r.{identifier(c)} as heir_{n}" for n, c in enumerate(self.id)]
        inner = [*self.group, *heirs]
        outer = [*names, *more, *(f"g.heir_{n}" for n in range(len(self.id)))]
        rows = f"""
            select {", ".join([*outer, "g.live"])}
            from (
                select
                    {", ".join(inner)},
                    count(*) over ({self.part}) as live,
                    bool_or(coalesce({self.flagged}, false)) over ({self.part}) as has,
                    row_number() over (
                        {self.part} order by {self.flag.order("r", self.id)}
                    ) as place
                from {AMONG} r
                {f"where {self.some}" if self.some else ""}
            ) g
            where g.place = 1 and not g.has
            {f"order by {', '.join(names)}" if names else ""}
        """  # noqa: S608 - names, quoted
        return Check(
            module,
            severity=self.flag.severity,
            table=self.table,
            key=self.flag.per,
            message=f"none of {{live}} rows of {_text(self.table)}{of} carries "
            f"{_text(self.flag.flag)}",
            reads=self.reads,
            find=f"{self.source}\n{rows}",
            text=self._explained(
                f"No row carries {self.label}{self.each}.",
                "Deleting the row that carried it, or moving it away, leaves none behind "
                "where the application forgets to choose an heir.",
                f"The repair sets the flag of the first by {self.by}. Nothing is lost.",
            ),
            repair=Update(
                set={self.flag.flag: "true"},
                on={c: f"found.heir_{n}" for n, c in enumerate(self.id)},
                why=f"it is the first of {{live}} rows by {_text(self.by)}",
            ),
        )

    def ambiguous(self, module: str) -> Check:
        """More than one row of a group carries the flag."""
        shown = _Shown()
        id = shown(self.id)
        of = self.of(shown)
        columns = list(dict.fromkeys([*self.id, *self.flag.per]))
        more = [f"d.{identifier(c)} as {name}" for c, name in self._renamed(shown)]
        some = f" and {self.some}" if self.some else ""
        rows = f"""
            select {", ".join([self.said("d", columns), *more, "d.flags", "d.place"])}
            from (
                select
                    {self.said("r", columns)},
                    count(*) over ({self.part}) as flags,
                    row_number() over (
                        {self.part} order by {self.flag.order("r", self.id)}
                    ) as place
                from {AMONG} r
                where {self.flagged}{some}
            ) d
            where d.flags > 1
            order by {self.said("d", self.id)}
        """  # noqa: S608 - names, quoted
        return Check(
            module,
            severity=self.flag.severity,
            table=self.table,
            key=self.id,
            message=f"{_text(self.table)} {id} is one of {{flags}} rows{of} that carry "
            f"{_text(self.flag.flag)}",
            reads=self.reads,
            find=f"{self.source}\n{rows}",
            text=self._explained(
                f"More than one row carries {self.label}{self.each}.",
                "Two writers that each saw none, a restore or a raw statement leave this "
                "behind where no partial unique index forbids it. Which of them is taken "
                "is then a matter of luck.",
                f"The repair leaves the flag to the first by {self.by} and takes it from "
                "the others. Nothing else is lost.",
            ),
            repair=Update(
                set={self.flag.flag: "false"},
                where="found.place > 1",
                on=_same(self.id),
                why=f"another row is the first by {_text(self.by)}",
            ),
            followed_by=self.followed_by,
        )

    def dangling(self, module: str) -> Check:
        """A row carries the flag that must not."""
        shown = _Shown()
        mark = identifier(self.flag.flag)
        return Check(
            module,
            severity=Severity.WARNING,
            table=self.table,
            key=self.id,
            message=f"{_text(self.table)} {shown(self.id)} carries "
            f"{_text(self.flag.flag)}, and does not count",
            reads=self.reads,
            live=f"{mark} and (\n{self.among}\n) is not true",
            where="true",
            select=shown.select,
            text=self._explained(
                f"A row carries {self.label} that does not count.",
                "Whoever deletes a row by mark and forgets the flag leaves it behind: it "
                "blocks the row that should have it, or comes back with the row.",
                "The repair takes the flag from the row. Nothing else is lost.",
            ),
            repair=Update(
                set={self.flag.flag: "false"},
                on=_same(self.id),
                why=f"{_text(self.flag.flag)} is for rows that count",
            ),
            followed_by=self.followed_by,
        )

    def _renamed(self, shown: _Shown) -> list[tuple[str, str]]:
        """Columns whose own names no template can hold, with the names they get."""
        names = {f"this.{identifier(c)}": c for c in (*self.id, *self.flag.per)}
        return [(names[sql], name) for name, sql in shown.select.items()]

    def _explained(self, first: str, how: str, repair: str) -> str:
        rule = f"One row carries {self.label}{self.each}{self.counts}."
        return "\n\n".join([first, f"{rule} {how}", repair])
