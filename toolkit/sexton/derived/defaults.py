"""The checks of a declared default: one row of each group carries its flag."""

from collections.abc import Iterator, Sequence

from sexton import reference
from sexton.catalog.identifiers import identifier
from sexton.check import Check, Severity, Update
from sexton.derived.naming import Shown, flag_name, same_row, template
from sexton.reference import Declarations, Default

AMONG = "sexton_among"  # the rows that may carry a flag


def checks(declared: Declarations, package: str, flag: Default) -> Iterator[Check]:
    """The checks of one entry."""
    table, among = reference.table(flag.table), declared.among(flag)
    name = flag_name(flag)
    made = _Flag(flag, table, among, declared.id(table))
    if flag.required:
        yield made.missing(f"{package}.{name}_missing")
    yield made.ambiguous(f"{package}.{name}_ambiguous")
    if _dangles(flag, among):
        yield made.dangling(f"{package}.{name}_dangling")


def flags(declared: Declarations, table: str) -> tuple[str, ...]:
    """The checks of the defaults in a table: whose rows die, may have carried the flag."""
    found: list[str] = []
    for mine, flag in declared.defaults():
        if mine == table:
            name = flag_name(flag)
            found += [f"{name}_dangling"] if _dangles(flag, declared.among(flag)) else []
            found += [f"{name}_missing"] if flag.required else []
    return tuple(found)


def _dangles(flag: Default, among: str) -> bool:
    return bool(among) and not flag.flag_on_deleted


class _Flag:
    """The parts of the queries about one flag."""

    def __init__(self, flag: Default, table: str, among: str, id: tuple[str, ...]) -> None:
        self.flag, self.table, self.among, self.id = flag, table, among, id
        self.followed_by = (f"{flag_name(flag)}_missing",) if flag.required else ()
        where = f" where (\n{among}\n)" if among else ""
        more = [f", ({sql}) as {identifier(n)}" for n, sql in flag.computed.items()]
        self.source = (
            f"with {AMONG} as not materialized "  # noqa: S608
            f"(select *{''.join(more)} from {identifier(table)} this{where})"
        )
        self.flagged = f"r.{identifier(flag.flag)}"
        self.group = [f"r.{identifier(column)}" for column in flag.per]
        self.part = f"partition by {', '.join(self.group)}" if self.group else ""
        self.some = " and ".join(f"{column} is not null" for column in self.group)
        self.label = f"`{table}.{flag.flag}`"
        self.each = f" for each {', '.join(flag.per)}" if flag.per else ""
        self.counts = f" among those for which: {' '.join(among.split())}" if among else ""
        self.by = ", ".join(flag.elect or id)
        self.kept_by = ", ".join(flag.keep) or self.by
        stored = [c for c in (*id, flag.flag, *flag.per) if c not in flag.computed]
        self.reads = {table: tuple(dict.fromkeys(stored)), **flag.consulted}

    def said(self, prefix: str, columns: Sequence[str]) -> str:
        """Columns of `d` as a list for SELECT."""
        return ", ".join(f"{prefix}.{identifier(column)}" for column in columns)

    def of(self, shown: Shown) -> str:
        """Which group, in a message."""
        said = [f" of {template(column)} {shown([column])}" for column in self.flag.per]
        return "".join(said)

    def missing(self, module: str) -> Check:
        """No row of a group carries the flag."""
        shown = Shown()
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
                    ) as ordinal
                from {AMONG} r
                {f"where {self.some}" if self.some else ""}
            ) g
            where g.ordinal = 1 and not g.has
            {f"order by {', '.join(names)}" if names else ""}
        """  # noqa: S608 - names, quoted
        return Check(
            module,
            elects=True,
            severity=self.flag.severity,
            table=self.table,
            key=self.flag.per,
            message=f"none of {{live}} rows of {template(self.table)}{of} carries "
            f"{template(self.flag.flag)}",
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
                why=f"it is the first of {{live}} rows by {template(self.by)}",
            ),
        )

    def ambiguous(self, module: str) -> Check:
        """More than one row of a group carries the flag."""
        shown = Shown()
        id = shown(self.id)
        of = self.of(shown)
        columns = list(dict.fromkeys([*self.id, *self.flag.per]))
        more = [f"d.{identifier(c)} as {name}" for c, name in self._renamed(shown)]
        some = f" and {self.some}" if self.some else ""
        rows = f"""
            select {", ".join([self.said("d", columns), *more, "d.flags", "d.ordinal"])}
            from (
                select
                    {self.said("r", columns)},
                    count(*) over ({self.part}) as flags,
                    row_number() over (
                        {self.part} order by {self.flag.order("r", self.id, keep=True)}
                    ) as ordinal
                from {AMONG} r
                where {self.flagged}{some}
            ) d
            where d.flags > 1
            order by {self.said("d", self.id)}
        """  # noqa: S608 - names, quoted
        return Check(
            module,
            elects=True,
            severity=self.flag.severity,
            table=self.table,
            key=self.id,
            message=f"{template(self.table)} {id} is one of {{flags}} rows{of} that carry "
            f"{template(self.flag.flag)}",
            reads=self.reads,
            find=f"{self.source}\n{rows}",
            text=self._explained(
                f"More than one row carries {self.label}{self.each}.",
                "Two writers that each saw none, a restore or a raw statement leave this "
                "behind where no partial unique index forbids it. Which of them is taken "
                "is then a matter of luck.",
                f"The repair leaves the flag to the first by {self.kept_by} and takes it "
                "from the others. Nothing else is lost.",
            ),
            repair=Update(
                set={self.flag.flag: "false"},
                where="found.ordinal > 1",
                on=same_row(self.id),
                why=f"another row is the first by {template(self.kept_by)}",
            ),
            followed_by=self.followed_by,
        )

    def dangling(self, module: str) -> Check:
        """A row carries the flag that must not."""
        shown = Shown()
        mark = identifier(self.flag.flag)
        return Check(
            module,
            severity=Severity.WARNING,
            table=self.table,
            key=self.id,
            message=f"{template(self.table)} {shown(self.id)} carries "
            f"{template(self.flag.flag)}, and does not count",
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
                on=same_row(self.id),
                why=f"{template(self.flag.flag)} is for rows that count",
            ),
            followed_by=self.followed_by,
        )

    def _renamed(self, shown: Shown) -> list[tuple[str, str]]:
        """Columns whose own names no template can hold, with the names they get."""
        names = {f"this.{identifier(c)}": c for c in (*self.id, *self.flag.per)}
        return [(names[sql], name) for name, sql in shown.select.items()]

    def _explained(self, first: str, how: str, repair: str) -> str:
        rule = f"One row carries {self.label}{self.each}{self.counts}."
        return "\n\n".join([first, f"{rule} {how}", repair])
