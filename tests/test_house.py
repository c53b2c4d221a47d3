"""What holds for the house as a whole."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("checks", "toolkit", "migrations")
    for path in (ROOT / folder).rglob("*.py")
)


def imports(path):
    """The top-level names of what a module imports, and from where in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def ours(name):
    return name.split(".")[0] in ("checks", "toolkit", "migrations", "tests", "benchmarks")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    place = path.relative_to(ROOT).parts
    for name in filter(ours, imports(path)):
        if place[0] == "checks":
            assert name.startswith("checks"), "a check knows nothing of the toolkit"
        if place[:2] == ("migrations", "versions"):
            pytest.fail("a revision is history: it imports nothing of ours")
        if place[0] == "toolkit" and place[1] != "cli" and path.name != "__main__.py":
            assert not name.startswith("toolkit.cli"), "the library knows no command line"
        assert not name.startswith(("tests", "benchmarks"))


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
        "import sys; from toolkit.cli import run; run(['--help'])\n"
        "slow = {'sqlalchemy', 'alembic', 'psycopg', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_an_audit_does_not_import_sqlalchemy(url):
    program = (
        "import sys; from toolkit.cli import run\n"
        f"sys.exit(run(['audit', '--url', {url!r}]) or ('sqlalchemy' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
