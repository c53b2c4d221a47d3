"""What holds for the code as a whole."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Only the project's loader may name a declaration, and it does so by a string.
DECLARATIONS = ("sexton.chat",)
LINES, BODY = 300, 60

SOURCES = sorted(
    path
    for folder in ("checks", "toolkit", "migrations")
    for path in (ROOT / folder).rglob("*.py")
)


def imports(path):
    """What a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    parts = path.relative_to(ROOT).parts
    for name in imports(path):
        assert not name.startswith(("tests", "benchmarks"))
        assert not name.startswith(("checks", "migrations", "toolkit"))
        if parts[:2] == ("migrations", "versions"):
            assert not name.startswith("sexton"), "a revision is history"
        if parts[0] != "toolkit" or parts[2] == "chat":
            continue
        assert not name.startswith(DECLARATIONS), "machinery imports no declaration"
        if parts[2] not in ("cli", "__main__.py"):
            assert not name.startswith("sexton.cli"), "the library knows no command line"


def module(path):
    """The dotted name of one of the library's files."""
    parts = path.relative_to(ROOT / "toolkit").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def at_import(path):
    """What a module imports when it is imported itself: not in functions, nor for types."""
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]


def file_arrows():
    """For each file of the library, by its dotted name, what it imports of the others."""
    paths = {module(path): path for path in (ROOT / "toolkit").rglob("*.py")}
    for name, path in paths.items():
        # A package's own __init__ names the files in it.
        own = name, name.rpartition(".")[0]
        yield name, {f for f in at_import(path) if f in paths and f not in own}


def folder(name):
    """The folder below `sexton` that a file is in; a file right there is its own."""
    return ".".join(name.split(".")[:2])


def insist_on_no_circle(arrows):
    try:
        list(graphlib.TopologicalSorter(arrows).static_order())
    except graphlib.CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_no_file_imports_itself_in_a_circle():
    insist_on_no_circle(dict(file_arrows()))


def test_no_folder_imports_itself_in_a_circle():
    arrows = {}
    for name, found in file_arrows():
        arrows.setdefault(folder(name), set()).update(map(folder, found))
    insist_on_no_circle({name: found - {name} for name, found in arrows.items()})


def long_functions(path):
    """The functions of a file that are too long, as `file:function`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= BODY:
            yield f"{path.relative_to(ROOT / 'toolkit' / 'sexton')}:{node.name}"


def test_files_and_functions_stay_short():
    library = sorted((ROOT / "toolkit").rglob("*.py"))
    files = [path for path in library if len(path.read_text().splitlines()) > LINES]
    assert not files, f"more than {LINES} lines: split it"
    functions = [name for path in library for name in long_functions(path)]
    assert not functions, f"more than {BODY} lines: split it"


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.parts[-2] != "cli" and "migrations" not in p.parts],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_library_neither_commits_nor_prints_nor_exits(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in ("commit", "print", "exit"), ast.unparse(node)


def test_help_imports_nothing_slow():
    program = (
        "import sys; from sexton.cli import run; run(['--help'])\n"
        "slow = {'sqlalchemy', 'alembic', 'psycopg', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_an_audit_does_not_import_sqlalchemy(url):
    program = (
        "import sys; from sexton.cli import run\n"
        f"sys.exit(run(['audit', '--url', {url!r}]) or ('sqlalchemy' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
