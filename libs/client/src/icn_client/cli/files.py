"""Commands on files: offline, JSON to stdout, on the engines that the services use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from icn_client.cli.output import Refused

STANDARD_INPUT = Path("-")
JCS_BYTES_MAX = 256 * 1024 * 1024
"""More than any document of the platform; bounds what a mistaken path can do to the memory."""


def register(app: typer.Typer) -> None:
    """Add `jcs` and `proof verify`; the others appear with their engines."""
    app.command("jcs")(jcs)


def read_file(path: Path, bytes_max: int) -> bytes:
    """The bytes of a file, or of standard input for ``-``. Raises Refused."""
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(bytes_max + 1)
        else:
            with path.open("rb") as file:
                content = file.read(bytes_max + 1)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "FILE_UNREADABLE") from None
    if len(content) > bytes_max:
        raise Refused(f"{path}: larger than {bytes_max} bytes", "FILE_TOO_LARGE")
    return content


def jcs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file; - for standard input.")],
) -> None:
    """Print a JSON file in the canonical form of RFC 8785, nothing after it.

    \b
    Example:
      icn jcs genesis.json | sha256sum
    """
    from icn_crypto.jcs import canonicalize_text

    content = read_file(file, JCS_BYTES_MAX)
    try:
        canonical = canonicalize_text(content)
    except ValueError as error:
        raise Refused(f"{file}: {error}", "NOT_JSON") from None
    sys.stdout.buffer.write(canonical)
    sys.stdout.buffer.flush()
