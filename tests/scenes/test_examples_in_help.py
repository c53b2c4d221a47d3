"""Every command's help shows how it is typed, and what it shows can be typed."""

import inspect
import shlex

import click
import pytest

from sexton.cli import sexton

FILES = ("openai.key", "user.key", "plan.json")


def leaves(command, path=()):
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from leaves(command.get_command(context, name), (*path, name))


COMMANDS = list(leaves(sexton))


def examples(command):
    """The lines of the last paragraph of a command's help, which the head begins."""
    paragraph = inspect.cleandoc(command.help or "").split("\n\n")[-1]
    mark, head, *lines = paragraph.split("\n")
    assert (mark, head) == ("\b", "Examples:"), "end its docstring with \\b, Examples:"
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS]
)
def test_every_help_has_examples_that_parse(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checks").mkdir()
    for file in FILES:
        (tmp_path / file).write_text("")
    place = inspect.unwrap(command.callback).__code__.co_filename
    found = examples(command)
    assert 1 <= len(found) <= 4, f"show one to four examples in {place}"
    assert any(line.startswith(f"sexton {' '.join(path)}") for line in found), (
        f"let one example in {place} begin with: sexton {' '.join(path)}"
    )
    for line in found:
        assert len(line) <= 94, f"shorten the example in {place}: {line}"
        before = line.split(" | ")[0].split(" > ")[0]
        name, *arguments = shlex.split(before)
        assert name == "sexton"
        step = sexton
        with click.Context(sexton) as context:
            while isinstance(step, click.Group):
                step = step.get_command(context, arguments.pop(0))
            try:
                step.make_context(step.name, arguments)
            except click.ClickException as error:
                pytest.fail(f"correct the example in {place}: {line}: {error.message}")
