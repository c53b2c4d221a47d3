"""Names of the catalogs as they stand in SQL; no more is imported for that than `re`.

A table's name is `[schema.]name`, raw, as the catalogs have it. Queries call it by one
identifier, `"schema.name"`, for which `relations.expose` puts the table itself.
"""

import re

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# Words that SQL reserves, for columns or for tables, in one version of PostgreSQL or other.
_RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint
    binary bit boolean both case cast char character check coalesce collate collation
    column concurrently constraint create cross current_catalog current_date
    current_role current_schema current_time current_timestamp current_user dec decimal
    default deferrable desc distinct do else end except exists extract false fetch float
    for foreign freeze from full grant greatest group grouping having ilike in initially
    inner inout int integer intersect interval into is isnull join json json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null
    nullif numeric offset on only or order out outer overlaps overlay placing position
    precision primary real references returning right row select session_user setof
    similar smallint some substring symmetric system_user table tablesample then time
    timestamp to trailing treat trim true union unique user using values varchar
    variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
    xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
    """.split()  # noqa: SIM905
)


def identifier(name: str) -> str:
    """A name as one identifier in SQL, quoted where it must be."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def dotted(table: str) -> str:
    """A table's `[schema.]name` as people type it, each part quoted where it must be."""
    return ".".join(identifier(part) for part in table.split(".", 1))
