"""What is declared beside what the database has: the changes that a revision makes."""

from sexton.catalog.relations import resolve
from sexton.database import Connection
from sexton.declarations.tables import require
from sexton.errors import Refused, SextonError
from sexton.project import Project
from sexton.reference import Declarations
from sexton.revision import columns, defaults, uniques
from sexton.revision.catalog import Names
from sexton.revision.change import Change
from sexton.revision.references import References


def compare(connection: Connection, project: Project) -> tuple[list[Change], list[str]]:
    """The changes in their order, and what a person should hear of besides.

    Columns come first, then indexes; keys and guards are made before others go, so that
    no instant is unprotected. Only reads. Raises UsageError where the file names what is
    not there, Refused, with every reason, where no online operation makes a difference.
    """
    declared = project.declared or Declarations()
    coming = columns.lacking(connection, declared)
    assert project.file is not None
    require(connection, declared, project.file, coming)
    relations = resolve(connection, declared.tables())
    made = columns.changes(connection, declared, coming, relations)
    names, reasons = Names(connection), list[SextonError]()
    references = References(connection, declared, relations, names)
    for ref in declared.reference:
        try:
            references.compare(ref)
        except SextonError as error:
            reasons.append(error)
    try:
        flags, notes = defaults.changes(connection, declared, relations, names)
    except SextonError as error:
        reasons.append(error)
    try:
        unique = uniques.changes(connection, declared, relations, names)
    except SextonError as error:
        reasons.append(error)
    if reasons:
        said = "\n  ".join(error.message for error in reasons)
        raise Refused(said, hint=reasons[0].hint)
    made += [*flags, *unique.built, *references.found.in_order(), *unique.dropped]
    notes += [*unique.notes, *references.notes, *references.guards.notes]
    return made, notes
