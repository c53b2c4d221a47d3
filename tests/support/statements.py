"""What the suite's statements use: each function and operator, as the server resolved it.

PostgreSQL itself says it. With `debug_print_parse` it sends the parse tree of every
statement, those inside DO blocks and functions included, and in the tree stands which
function or operator was chosen for which types, before and after implicit casts.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

Node = dict[str, Any]

TOKEN = re.compile(r"[{}()]|(?:\\.|[^\s{}()\\])+", re.DOTALL)
RESULTS = (
    *("vartype", "consttype", "paramtype", "funcresulttype", "opresulttype", "resulttype"),
    *("coalescetype", "minmaxtype", "casetype", "array_typeid", "row_typeid", "typeId"),
    *("refrestype", "aggtype", "wintype", "type"),
)
IMPLICIT = ("funcformat", "relabelformat", "coerceformat")
# Every plain value but those that are asked for below; without them most trees are one.
KEPT = "|".join(
    [
        *(*RESULTS, *IMPLICIT, "funcretset", "subLinkType", "name", "funcname"),
        *("opno", "funcid", "aggfnoid", "winfnoid"),
    ]
)
NOISE = re.compile(
    rf":(?!(?:{KEPT})\s)\w+\s+"
    r"(?:\([bio](?: \d+)*\)|\{ALIAS [^{}]*\}|-?\d+\s*\[[^]]*\]|(?:\\.|[^\s{}()\\:])+)"
    r"(?=[\s)}])",
    re.DOTALL,
)
MOST = 24  # signatures of one use: more say nothing new


@dataclass(frozen=True)
class Use:
    """One function (`f`), aggregate (`a`) or operator (`o`) of pg_catalog, on types.

    Each argument has the types that a signature may name to be chosen before the one in
    pg_catalog; `many` says that the result is a set.
    """

    kind: str
    name: str
    arguments: tuple[tuple[str, ...], ...]
    result: str
    many: bool = False

    def signatures(self) -> Iterator[tuple[str, ...]]:
        """The argument types to plant, the likeliest first."""
        yield from itertools.islice(itertools.product(*self.arguments), MOST)


@dataclass
class Recorder:
    """Collects what statements use, and what planted code says."""

    uses: set[Use] = field(default_factory=set)
    raw: set[tuple[str, int]] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    trees: int = 0
    _seen: set[str] = field(default_factory=set)
    _found: set[tuple[str, int, tuple[tuple[int, ...], ...], int, bool]] = field(
        default_factory=set
    )

    def settle(self, connection: psycopg.Connection[Any]) -> None:
        """Name what was heard of this database; what is user-defined is left out."""
        types = _names(connection, "select oid, format_type(oid, null) from pg_type")
        functions = _names(
            connection, "select oid, proname from pg_proc where pronamespace = 11"
        )
        operators = _names(
            connection, "select oid, oprname from pg_operator where oprnamespace = 11"
        )
        for kind, oid, arguments, result, many in self._found:
            name = (operators if kind == "o" else functions).get(oid)
            named = tuple(
                tuple(types[t] for t in choices if t in types) for choices in arguments
            )
            if name and all(named) and result in types:
                self.uses.add(Use(kind, name, named, types[result], many))
        self._found.clear()

    def notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Take one message of the server."""
        if diagnostic.message_primary != "parse tree:":
            if diagnostic.severity_nonlocalized == "WARNING":
                self.warnings.append(str(diagnostic.message_primary))
            return
        self.trees += 1
        text = NOISE.sub("", diagnostic.message_detail or "")
        if text not in self._seen:
            self._seen.add(text)
            self._walk(parse(text))

    def _walk(self, node: Any) -> None:
        if isinstance(node, list):
            for part in node:
                self._walk(part)
        elif isinstance(node, dict):
            self._take(node)
            for part in node.values():
                self._walk(part)

    def _take(self, node: Node) -> None:
        label = node[""]
        if label == "FUNCEXPR" and node["funcformat"] in ("0", "3"):
            self._use("f", node["funcid"], node, node["funcresulttype"])
        elif label in ("OPEXPR", "DISTINCTEXPR", "NULLIFEXPR"):
            self._use("o", node["opno"], node, node["opresulttype"])
        elif label == "SCALARARRAYOPEXPR":
            self._use("o", node["opno"], node, "16", elements=True)
        elif label == "AGGREF":
            self._use("a", node["aggfnoid"], node, node["aggtype"])
        elif label == "WINDOWFUNC":
            self._use("f", node["winfnoid"], node, node["wintype"])
        elif label == "FUNCCALL":
            self._name(node["funcname"], node.get("args"))
        elif label in ("A_EXPR", "AEXPR"):
            sides = [node.get("lexpr"), node.get("rexpr")]
            self._name(
                node.get("name"), [side for side in sides if side not in (None, "<>")]
            )

    def _name(self, name: Any, arguments: Any) -> None:
        # A utility statement's tree is raw: it has names, and no types yet.
        if isinstance(name, list) and len(name) == 1:
            text = str(name[0]).replace("\\", "").strip('"')
            self.raw.add((text, len(arguments) if isinstance(arguments, list) else 0))

    def _use(
        self, kind: str, oid: str, node: Node, result: str, *, elements: bool = False
    ) -> None:
        given = node.get("args")
        given = given if isinstance(given, list) else []
        given = [
            a["expr"] if a[""] == "TARGETENTRY" else a for a in given if isinstance(a, dict)
        ]
        types = [_types(argument) for argument in given]
        if elements and len(types) == 2:
            types[1] = [ELEMENTS.get(t, t) for t in types[1]]
        if kind == "o" and len(types) == 2:
            # A literal beside a column is taken for one of the column's own type.
            for mine, other, argument in ((0, 1, given[0]), (1, 0, given[1])):
                if _literal(argument):
                    types[mine] = [*types[other], *types[mine]]
        if all(types):
            arguments = tuple(tuple(dict.fromkeys(t)) for t in types)
            many = node.get("funcretset") == "true"
            self._found.add((kind, int(oid), arguments, int(result), many))


def _names(connection: psycopg.Connection[Any], query: str) -> dict[int, str]:
    statement: Any = query
    connection.execute("set search_path = pg_catalog")  # traps may be planted by now
    with connection.cursor(row_factory=tuple_row) as cursor:
        return dict(cursor.execute(statement).fetchall())


ELEMENTS: dict[int, int] = {}  # array type -> element type; filled from the server


def parse(text: str) -> Any:
    """A node tree as dictionaries, whose label stands under the empty name, and lists."""
    tokens = TOKEN.findall(text)
    stack: list[Any] = [[]]
    names: list[str | None] = [None]

    def put(value: Any) -> None:
        top = stack[-1]
        if isinstance(top, list):
            top.append(value)
        elif names[-1] is None:
            top.setdefault("", value)
        elif names[-1] not in top:
            top[names[-1]] = value

    for token in tokens:
        if token == "{":
            stack.append({})
            names.append(None)
        elif token == "(":
            stack.append([])
            names.append(None)
        elif token in ("}", ")"):
            done = stack.pop()
            names.pop()
            put(done)
        elif token.startswith(":") and len(token) > 1 and isinstance(stack[-1], dict):
            names[-1] = token[1:]
        else:
            put(token)
    return stack[0]


BOOLEAN = 16
BOOLEANS = ("SCALARARRAYOPEXPR", "BOOLEXPR", "NULLTEST", "BOOLEANTEST", "ROWCOMPAREEXPR")


def _types(node: Node) -> list[int]:
    """The types that an argument may be said to have; none where that is not known."""
    inner = node
    while (
        str(inner.get("funcformat", inner.get("relabelformat", inner.get("coerceformat"))))
        == "2"
    ):
        below = inner.get("arg") or inner.get("args")
        below = below[0] if isinstance(below, list) and below else below
        if not isinstance(below, dict):
            break
        inner = below
    found = [t for t in (_type(inner), _type(node)) if t]
    if _literal(inner):
        found = [*found, 25]
    return list(dict.fromkeys(found))


def _literal(node: Node) -> bool:
    return node[""] in ("CONST", "PARAM", "ARRAYEXPR", "ARRAY")


def _type(node: Node) -> int:
    label = node[""]
    if label in BOOLEANS:
        return BOOLEAN
    if label == "SUBLINK":
        return _sublink(node)
    if label == "COLLATEEXPR":
        return _type(node["arg"])
    for name in RESULTS:
        value = node.get(name)
        if isinstance(value, str) and value.isdigit() and value != "0":
            return int(value)
    return 0


def _sublink(node: Node) -> int:
    kind = node.get("subLinkType")
    if kind in ("0", "1", "2"):
        return BOOLEAN
    query = node.get("subselect")
    targets = query.get("targetList") if isinstance(query, dict) else None
    if not isinstance(targets, list) or not targets:
        return 0
    element = _type(targets[0]["expr"])
    if kind != "6":
        return element
    return next((array for array, item in ELEMENTS.items() if item == element), 0)


@contextlib.contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Hear what every connection of this process is told, until the block's end."""
    recorder = Recorder()
    plain = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]

    def connect(cls: Any, *arguments: Any, **options: Any) -> Any:
        connection = plain(cls, *arguments, **options)
        connection.add_notice_handler(recorder.notice)
        return connection

    with monkeypatch.context() as patch:
        # Of the class and all below it; the module's name for it was bound before.
        patch.setattr(psycopg.Connection, "connect", classmethod(connect))
        patch.setattr(psycopg, "connect", psycopg.Connection.connect)
        yield recorder


def tell_parse_trees(connection: psycopg.Connection[Any], database: str) -> None:
    """Let the server send the trees to every session of a database."""
    for parameter, value in (
        ("client_min_messages", "log"),
        ("debug_print_parse", "on"),
        ("debug_pretty_print", "off"),
    ):
        connection.execute(f'alter database "{database}" set {parameter} = {value}')
    if not ELEMENTS:
        query = "select oid, typelem from pg_type where typcategory = 'A' and typelem <> 0"
        ELEMENTS.update(connection.execute(query).fetchall())
