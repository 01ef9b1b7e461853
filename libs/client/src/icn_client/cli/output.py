"""What the command says and how it ends: JSON and text to stdout, messages to stderr, four exit codes."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""

PROGRESS_AFTER_SECONDS: Final = 1.0
"""What is quicker needs no progress."""
PROGRESS_LINE_SECONDS: Final = 5.0
"""Between lines where stderr is no terminal, so that a log stays short."""


class CommandError(Exception):
    """Ends the command with a message and an exit code."""

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Refused(CommandError):
    """Somebody said no, a file could not be read, or a check did not hold."""


class Unreachable(CommandError):
    """Nobody answered."""

    exit_code = EXIT_UNREACHABLE


class UsageError(CommandError):
    """The command was called wrongly."""

    exit_code = EXIT_USAGE


def say(text: str) -> None:
    """A message for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """One JSON value on a line of stdout. Raises Refused."""
    print_text(json.dumps(value, separators=(",", ":")))


def print_json_lines(values: Iterable[Any]) -> None:
    """One JSON value per line of stdout. Raises Refused."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with _writing() as stdout:
        stdout.writelines(f"{encode(value)}\n" for value in values)


def print_text(text: str) -> None:
    """A line of the command's answer for people. Raises Refused."""
    with _writing() as stdout:
        stdout.write(text + "\n")


def print_bytes(content: bytes) -> None:
    """Exactly these bytes on stdout. Raises Refused."""
    with _writing() as stdout:
        stdout.buffer.write(content)


@contextmanager
def _writing() -> Iterator[TextIO]:
    """Stdout, flushed at the end. A reader that went away is left to `main`."""
    if sys.stdout is None:
        raise Refused("standard output is closed", "OUTPUT_UNWRITABLE")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence_stdout()
        raise Refused(f"standard output: {error.strerror}", "OUTPUT_UNWRITABLE") from None


def silence_stdout() -> None:
    """Drop what stdout still holds; without this Python complains when it flushes at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def has_colour(stream: Any) -> bool:
    """Whether to colour: a terminal, NO_COLOR unset or empty (no-color.org), TERM not dumb."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; plain columns where it is no terminal, so that it can be cut and sorted."""
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        shown = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            shown.add_row(*row)
        # What members call things, and what they write, is text and no markup.
        Console(no_color=not has_colour(sys.stdout), highlight=False, markup=False, emoji=False).print(shown)
        return
    print_text("\n".join("\t".join(line) for line in (columns, *rows)))


class Progress:
    """Says how far something has come, once it has taken a second."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._started = time.monotonic()
        self._said_at = 0.0
        self._is_terminal = sys.stderr.isatty()
        self._has_line = False

    def update(self, done: int, note: str = "") -> None:
        """Tell how much is done; cheap enough to be called for every batch."""
        now = time.monotonic()
        if now - self._started < PROGRESS_AFTER_SECONDS:
            return
        if now - self._said_at < (0.1 if self._is_terminal else PROGRESS_LINE_SECONDS):
            return
        self._said_at = now
        share = f"{done} of {self._total}" if self._total is not None else str(done)
        text = f"{self._what}: {share}{', ' + note if note else ''}"
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[2K{text}")
            self._has_line = True
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def tell(self, what: str, done: int, total: int, note: str = "") -> None:
        """Tell how far another piece of the work has come."""
        self._what, self._total = what, total
        self.update(done, note)

    def close(self) -> None:
        """Leave a clean line behind."""
        if self._has_line:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._has_line = False


@contextmanager
def working(what: str) -> Iterator[None]:
    """Says for how many seconds something is at work that does not tell how far it has come."""
    shown, is_done, started = Progress(f"{what}, seconds"), threading.Event(), time.monotonic()

    def tick() -> None:
        while not is_done.wait(PROGRESS_AFTER_SECONDS):
            shown.update(round(time.monotonic() - started))

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        is_done.set()
        ticking.join()
        shown.close()


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Progress]:
    """A `Progress` that is closed at the end."""
    shown = Progress(what, total)
    try:
        yield shown
    finally:
        shown.close()
