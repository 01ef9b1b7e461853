"""Every `icn` command that a document, a page or a help text shows is one that the command has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from icn_client.cli.main import app

ROOT = typer.main.get_command(app)
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
CODE = re.compile(r"<code[^>]*>(icn .*?)</code>")
TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
COMMAND = re.compile(r"(?:^|[\s;&|$(])(?:\.venv/bin/)?icn (.+)")
FILE_COMMANDS = re.compile(r"Commands on files \((.*?)\)", re.DOTALL)
NO_COMMANDS = {"stack"}
"""An export that docs/spec/vm.md reserves."""
WORD = re.compile(r"[a-z][a-z-]*(\|[a-z][a-z-]*)*")


def written_in(document: str) -> Iterator[str]:
    """What stands behind `icn` in blocks and quotes of a Markdown text; one line each."""
    for block in FENCE.findall(document):
        for line in block.replace("\\\n", " ").splitlines():
            yield from commands_of(line)
    for quoted in INLINE.findall(FENCE.sub("", document)):
        name = quoted.removeprefix(".venv/bin/")
        if name.startswith("icn ") and name.removeprefix("icn ") not in NO_COMMANDS:
            yield from commands_of(quoted)


def commands_of(line: str) -> Iterator[str]:
    """Of a line of shell, without what is said behind ``#`` or in columns beside it."""
    for part in re.split(r" ; | && | \| ", line.partition(" #")[0]):
        found = COMMAND.search(part.strip())
        if found and part.strip().startswith(("icn ", ".venv/bin/icn ")):
            yield re.split(r"\s{3,}", found[1].strip())[0]


def fault(written: str) -> str:
    """What of a command there is not; empty when all of it is."""
    try:
        words = shlex.split(written)
    except ValueError:
        words = written.split()
    reached: list[click.Command] = [ROOT]
    for word in words:
        groups = [command for command in reached if isinstance(command, click.Group)]
        if any(command.context_settings.get("ignore_unknown_options") for command in reached):
            break  # what follows is told to another program
        if word.startswith("--") and len(word) > 2 and not groups:
            names = word.partition("=")[0].rstrip(",.;:]")
            if not all(
                any(names in parameter.opts + parameter.secondary_opts for parameter in command.params)
                or names == "--help"
                for command in reached
            ):
                return f"no option {names}"
        elif groups:
            if not WORD.fullmatch(word):
                break
            missing = [name for name in word.split("|") if name not in groups[0].commands]
            if missing:
                return f"no command {' or '.join(missing)}"
            reached = [groups[0].commands[name] for name in word.split("|")]
    return ""


def every_command(group: click.Command) -> Iterator[click.Command]:
    yield group
    for command in getattr(group, "commands", {}).values():
        yield from every_command(command)


def test_every_command_that_a_document_names_exists(root: Path, tracked: list[Path]) -> None:
    read = 0
    wrong = []
    for path in tracked:
        if path.suffix != ".md" or path.parts[:2] == ("docs", "adr"):
            continue
        for written in written_in((root / path).read_text("utf-8")):
            read += 1
            if said := fault(written):
                wrong.append(f"{path}: icn {written}: {said}")
    assert wrong == []
    assert read >= 60


def test_the_readme_lists_commands_on_files_that_exist(root: Path) -> None:
    (listed,) = FILE_COMMANDS.findall((root / "README.md").read_text("utf-8"))
    named = INLINE.findall(listed)
    assert len(named) >= 5
    assert [name for name in named if fault(name)] == []


def test_every_command_that_a_page_names_exists(root: Path, tracked: list[Path]) -> None:
    shown = [
        written.removeprefix("icn ")
        for path in tracked
        if path.match("web/templates/*.html")
        for written in CODE.findall(TEMPLATE.sub("ID", (root / path).read_text("utf-8")))
    ]
    assert len(shown) >= 3
    assert [written for written in shown if fault(written)] == []


def test_every_example_in_a_help_text_is_of_a_command_that_exists() -> None:
    examples = [
        written
        for command in every_command(ROOT)
        for line in (command.epilog or "").replace("\\\n", " ").splitlines()
        for written in commands_of(line)
    ]
    assert len(examples) >= 80
    assert [f"{written}: {said}" for written in examples if (said := fault(written))] == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("hold place", "no command hold"),
        ("unit|hold …", "no command hold"),
        ("keys nothing", "no command nothing"),
        ("book RESOURCE --form X", "no option --form"),
        ("book RESOURCE --from X --to Y --or-wait --as anna", ""),
        ("member apply|vouch …", ""),
        ("--help", ""),
    ],
)
def test_what_does_not_exist_is_found(written: str, said: str) -> None:
    assert fault(written) == said
