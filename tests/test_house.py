"""What holds for the code as a whole."""

import ast
import subprocess
import sys

from tests.support.project import ROOT

# Only the project's loader may name a declaration, and it does so by a string.
DECLARATIONS = ("sexton.chat",)

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


def test_imports_run_one_way():
    for path in SOURCES:
        insist_on_direction(path)


def insist_on_direction(path):
    parts = path.relative_to(ROOT).parts
    for name in imports(path):
        message = f"{path.relative_to(ROOT)} imports {name}: take that out, for"
        assert not name.startswith(("tests", "benchmarks")), (
            f"{message} it is not installed"
        )
        assert not name.startswith(("checks", "migrations", "toolkit")), (
            f"{message} these are loaded by path"
        )
        if parts[:2] == ("migrations", "versions"):
            assert not name.startswith("sexton"), f"{message} a revision is history"
        if parts[0] != "toolkit" or parts[2] == "chat":
            continue
        assert not name.startswith(DECLARATIONS), (
            f"{message} machinery knows no declaration"
        )
        if parts[2] not in ("cli", "__main__.py"):
            assert not name.startswith("sexton.cli"), f"{message} a library has no commands"


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


def circles(arrows):
    """Those that import each other in a circle, each circle's together."""
    reached = {name: set(found) for name, found in arrows.items()}
    for via in reached:  # Warshall's algorithm
        for name, found in reached.items():
            if via in found:
                reached[name] = found | reached[via]
    return {
        tuple(sorted(b for b in found if name in reached[b]))
        for name, found in reached.items()
        if name in found
    }


def between_folders(arrows):
    """The same of the folders."""
    found = {}
    for name, names in arrows.items():
        found.setdefault(folder(name), set()).update(map(folder, names))
    return {name: names - {name} for name, names in found.items()}


def wherever():
    """What each file imports, wherever in it: in functions and for types as well."""
    paths = {module(path): path for path in (ROOT / "toolkit").rglob("*.py")}
    return {
        name: {found for found in meant(path, paths) if found != name}
        for name, path in paths.items()
    }


def meant(path, paths):
    """The files that a file's imports mean: `from sexton import x` may mean `sexton.x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield from {whole if whole in paths else node.module} & paths.keys()
        elif isinstance(node, ast.Import):
            yield from {name.name for name in node.names} & paths.keys()


def test_nothing_imports_itself_in_a_circle():
    arrows = dict(file_arrows())
    assert not circles(arrows)
    assert not circles(between_folders(arrows))


# Files and folders in circles if imports in functions and for types count: take some out,
# then lower the number.
FILES_IN_CIRCLES = 26
FOLDERS_IN_CIRCLES = 19


def test_circles_of_imports_in_functions_become_fewer():
    arrows = wherever()
    files, folders = circles(arrows), circles(between_folders(arrows))
    assert sum(map(len, files)) <= FILES_IN_CIRCLES, files
    assert sum(map(len, folders)) <= FOLDERS_IN_CIRCLES, folders
    schema = {f"sexton.{name}" for name in ("alembic", "ddl", "guard", "online", "upgrade")}
    assert not [circle for circle in files if schema & set(map(folder, circle))]


def test_the_library_neither_commits_nor_prints_nor_exits():
    for path in SOURCES:
        if path.parts[-2] != "cli" and "migrations" not in path.parts:
            insist_on_silence(path)


def insist_on_silence(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in ("commit", "print", "exit"), (
                f"take {called}() out of {path}:{node.lineno}: only cli/ does that"
            )


def silent(program):
    """Run a program that must succeed; what it has to say is the failure."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_slow():
    program = (
        "import sys; from sexton.cli import run; run(['--help'])\n"
        "slow = {'sqlalchemy', 'alembic', 'psycopg', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'import it in a function: {slow}' if slow else 0)"
    )
    silent(program)


def test_an_audit_does_not_import_sqlalchemy(url):
    program = (
        "import sys; from sexton.cli import run\n"
        f"code = run(['audit', '--url', {url!r}])\n"
        "slow = {'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(f'import it in a function: {slow}' if slow else code)"
    )
    silent(program)


def test_one_module_opens_connections():
    opening = {"psycopg.connect", "psycopg.Connection.connect", "OwnConnection.connect"}
    for path in SOURCES:
        if path.match("sexton/postgres/connect.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in opening, (
                f"{path.relative_to(ROOT)}: {called}: use sexton.postgres.connect"
            )
            names = {n.name for n in node.names} if isinstance(node, ast.ImportFrom) else ()
            assert "OwnConnection" not in names, path


# One statement that also asks; SQL scripts; a session on the team's own driver.
SETS_PARAMETERS = {
    "chat/schema.py": 1,
    "guard/side_steps.py": 1,
    "online/beside.py": 1,
    "upgrade/script.py": 1,
    "postgres/session.py": 4,
}


def test_one_module_sets_parameters():
    found = {
        str(path.relative_to(ROOT / "toolkit" / "sexton")): text.count("set_config(")
        for path in sorted((ROOT / "toolkit" / "sexton").rglob("*.py"))
        if "set_config(" in (text := path.read_text())
    }
    assert found == SETS_PARAMETERS, "call sexton.postgres.session.set_parameters"
