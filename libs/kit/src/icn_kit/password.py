"""Passwords that a process shows to a server, and that somebody may change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

Password = str | Callable[[], str]
"""Or what reads it when it is needed."""


def password_of(given: SecretStr, file: Path | None) -> Password | None:
    """What ``file`` holds whenever it is asked for, without its line's end; else ``given``; None where there
    is neither."""
    if file is None:
        return given.get_secret_value() or None
    return lambda: file.read_text("utf-8").rstrip("\n")
