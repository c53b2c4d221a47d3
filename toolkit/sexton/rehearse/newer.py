"""Which revisions are new: by a branch's files in git, by a revision, or as named."""

import ast
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from sexton.errors import UsageError
from sexton.online.team_code import first_line
from sexton.text.printable import printable

BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
HINT = (
    "--base REF for a branch of git, --base rev:ID for what comes after a revision, "
    "--base base for all, or name the revisions"
)


@dataclass
class Newer:
    """The new revisions in the order in which they run, and the others.

    `changed` are revisions that the base has with another text; `tree` is the commit that
    they were compared with.
    """

    base: str
    new: list[Script]
    old: list[Script]
    changed: list[Script] = field(default_factory=list)
    tree: str | None = None


def newer(script: ScriptDirectory, names: Sequence[str], base: str | None) -> Newer:
    """The new revisions; raises UsageError for a base or a name that is none."""
    ordered = list(reversed(list(script.walk_revisions())))
    if names:
        chosen = {one.revision for name in names for one in _named(script, name)}
        above = _below_any(script, chosen)
        old = [one for one in ordered if one.revision in above - chosen]
        new = [one for one in ordered if one.revision in chosen]
        between = _between(script, chosen) - chosen
        if between:
            raise UsageError(
                f"the revision {sorted(between)[0]} lies between those that are named",
                hint="name it as well",
            )
        return Newer(", ".join(one.revision for one in old[-1:]) or "base", new, old)
    if base is None:
        base = next((name for name in BRANCHES if _commit(script, name)), None)
        if base is None:
            raise UsageError("there is no branch to compare with", hint=HINT)
    commit = None if base == "base" or base.startswith("rev:") else _commit(script, base)
    if commit:
        return _by_git(script, ordered, base, commit)
    name = base.removeprefix("rev:")
    known = set() if name == "base" else _below_any(script, _ids(script, name))
    old = [one for one in ordered if one.revision in known]
    return Newer(base, [one for one in ordered if one.revision not in known], old)


def _ids(script: ScriptDirectory, name: str) -> set[str]:
    return {one.revision for one in _named(script, name)}


def _named(script: ScriptDirectory, name: str) -> list[Script]:
    try:
        return list(script.get_revisions(name))
    except CommandError as error:
        raise UsageError(
            f"{printable(name)} is no revision and no commit: {first_line(error)}",
            hint=HINT,
        ) from None


def _below_any(script: ScriptDirectory, ids: set[str]) -> set[str]:
    if not ids:
        return set()
    found = script.revision_map._get_ancestor_nodes(
        script.get_revisions(tuple(ids)), include_dependencies=True
    )
    return {one.revision for one in found}


def _between(script: ScriptDirectory, ids: set[str]) -> set[str]:
    found = script.revision_map._get_descendant_nodes(script.get_revisions(tuple(ids)))
    return {one.revision for one in found} & _below_any(script, ids)


def _by_git(
    script: ScriptDirectory, ordered: list[Script], base: str, commit: str
) -> Newer:
    merge = _git(script, "merge-base", commit, "HEAD")
    tree = merge.strip() if merge else commit
    at_base = _revisions_of(script, tree)
    found = Newer(f"{base} ({tree[:12]})", [], [], tree=tree)
    for one in ordered:
        if one.revision not in at_base:
            found.new.append(one)
            continue
        found.old.append(one)
        if Path(one.path).read_text(errors="replace") != at_base[one.revision]:
            found.changed.append(one)
    return found


def _revisions_of(script: ScriptDirectory, tree: str) -> dict[str, str]:
    """The revisions in a commit: the text of each by its number."""
    found = {}
    for folder in map(str, script._version_locations):
        listed = _git(script, "ls-tree", "-r", "-z", "--full-name", tree, "--", folder)
        for line in (listed or "").split("\0"):
            about, _, path = line.partition("\t")
            if not path.endswith(".py"):
                continue
            text = _git(script, "cat-file", "blob", about.split()[2]) or ""
            if number := _number(text):
                found[number] = text
    return found


def _number(text: str) -> str | None:
    """What a file assigns to `revision`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        named = any(isinstance(t, ast.Name) and t.id == "revision" for t in targets)
        value = getattr(node, "value", None)
        if named and isinstance(value, ast.Constant):
            return str(value.value)
    return None


def _commit(script: ScriptDirectory, name: str) -> str | None:
    if name.startswith("-"):
        return None
    found = _git(script, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return found.strip() if found else None


def _git(script: ScriptDirectory, *arguments: str) -> str | None:
    found = git(Path(script.dir), *arguments)
    return None if found is None else found.decode(errors="replace")


def git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints in a folder; None if it fails, or is not installed."""
    # What a repository configures must not run: no pager, hook or file system monitor.
    safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        done = subprocess.run(
            ["git", *safe, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
