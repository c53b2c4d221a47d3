"""The checks that follow from declarations: ordinary ones, each with its explanation."""

from collections.abc import Iterator

from sexton.check import Check
from sexton.derived import defaults, keys, references, soft_deletes, uniques
from sexton.derived.naming import reference_name
from sexton.guard.spec import GuardSpec, deferrability
from sexton.reference import Declarations

KEYS = "declared_keys"  # the check of the keys that are asked for


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
    if asked := keys.check(declared, f"{package}.{KEYS}"):
        yield "key", asked
    for n, soft in enumerate(declared.soft_delete):
        if not soft.checked:
            continue
        for check in soft_deletes.checks(declared, package, soft):
            yield declared.path("soft_delete", n), check
        counting = uniques.counting(declared, package, soft)
        yield declared.path("soft_delete", n), counting
    for n, ref in enumerate(declared.reference):
        for check in references.checks(declared, package, ref):
            yield declared.path("reference", n), check
    for n, flag in enumerate(declared.default):
        for check in defaults.checks(declared, package, flag):
            yield declared.path("default", n), check
    for n, unique in enumerate(declared.unique):
        yield declared.path("unique", n), uniques.check(declared, package, unique)


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
            deferrable=deferrability(ref.deferrable),
        )
        for ref in declared.reference
        if ref.guard
    )
