"""Commands on files: offline, JSON to stdout, on the engines that the services use."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, print_json_lines, say

STANDARD_INPUT = Path("-")
FILE_BYTES_MAX = 256 * 1024 * 1024
"""More than any document of the platform; bounds what a mistaken path can do to the memory."""
PROOF_BYTES_MAX = 16 * 1024 * 1024
"""A thousand hashes in base64 are 45 KB; a published vector is less."""
BATCH_FILES_MAX = 1_000_000

BatchOption = Annotated[
    Path,
    typer.Option("--batch", metavar="FILE.jsonl", help="One JSON object per line; - for standard input."),
]

_LEDGER_EXAMPLES = """\b
Examples:
  icn ledger verify-proof --kind inclusion --in proof.json
  icn ledger verify-proof --kind consistency --batch proofs/
"""


def register(app: typer.Typer) -> None:
    """Add `jcs`, `crypto` and `ledger`."""
    app.command("jcs")(jcs)
    crypto = _group("Signatures and keys, by the engine that the services use.")
    crypto.command("verify")(crypto_verify)
    crypto.command("decaps")(crypto_decaps)
    crypto.command("public")(crypto_public)
    app.add_typer(crypto, name="crypto")
    ledger = _group("Proofs of other ledgers and logs.", _LEDGER_EXAMPLES)
    ledger.command("verify-proof")(verify_proof)
    app.add_typer(ledger, name="ledger")


def _group(text: str, examples: str | None = None) -> typer.Typer:
    return typer.Typer(
        no_args_is_help=True, suggest_commands=False, rich_markup_mode=None, help=text, epilog=examples
    )


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

    content = read_file(file, FILE_BYTES_MAX)
    try:
        canonical = canonicalize_text(content)
    except ValueError as error:
        raise Refused(f"{file}: {error}", "NOT_JSON") from None
    sys.stdout.buffer.write(canonical)
    sys.stdout.buffer.flush()


def crypto_verify(batch: BatchOption) -> None:
    """Verify signatures: lines {"alg","pk","msg","sig","ctx"?} in hex, one {"valid"} each, in order.

    alg: ed25519, ed25519-zip215 (the chain's own rule), ml-dsa-44, ml-dsa-65, ml-dsa-87.
    """
    from icn_crypto.batch import verify_lines

    _answer_lines(batch, verify_lines)


def crypto_decaps(batch: BatchOption) -> None:
    """Decapsulate: lines {"alg","seed"|"sk","ct"} in hex, one {"shared"} or {"error"} each, in order.

    alg: ml-kem-768, ml-kem-1024, x25519 (ct is the peer's public key).
    """
    from icn_crypto.batch import decapsulate_lines

    _answer_lines(batch, decapsulate_lines)


def crypto_public(batch: BatchOption) -> None:
    """Public keys from seeds: lines {"alg","seed"} in hex, one {"pk"} or {"error"} each, in order."""
    from icn_crypto.batch import public_key_lines

    _answer_lines(batch, public_key_lines)


def _answer_lines(path: Path, answer: Callable[[Sequence[object]], Sequence[Any]]) -> None:
    from icn_crypto.batch import InvalidLine

    try:
        print_json_lines(answer(read_json_lines(path)))
    except InvalidLine as error:
        raise Refused(f"{path}: {error}", "LINE_INVALID") from None


def read_json_lines(path: Path) -> list[object]:
    """The values of a file with one JSON value per line; an empty last line does not count. Raises
    Refused.
    """
    lines = read_file(path, FILE_BYTES_MAX).split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise Refused(f"{path}: line {number}: not JSON: {error}", "LINE_INVALID") from None
    return values


def verify_proof(
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="inclusion, consistency, subtree-inclusion, subtree-consistency or ics23."
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--in", metavar="FILE.json", help="The proof; - for standard input.")
    ] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", metavar="DIR", help="Every file of a folder that is not hidden.")
    ] = None,
) -> None:
    """Check a proof of a log (RFC 9162) or of another chain (ICS-23): {"valid","reason"}.

    Exit 0 also when it is not valid; a file that is no proof of the kind is exit 1.
    """
    from icn_crypto.proof_files import KINDS

    if kind not in KINDS:
        raise UsageError(f"--kind: {kind[:40]!r} is not one of {', '.join(KINDS)}")
    if (file is None) == (batch is None):
        raise UsageError("give either --in FILE.json or --batch DIR")
    faults = 0
    if file is not None:
        found, fault = _judge(kind, file)
        print_json(found)
        faults += fault
    else:
        assert batch is not None, "exactly one is given"
        for path in _batch_files(batch):
            found, fault = _judge(kind, path)
            print_json({"file": path.name, **found})
            faults += fault
    if faults:
        raise SystemExit(EXIT_REFUSED)


def _judge(kind: str, path: Path) -> tuple[dict[str, Any], bool]:
    """The answer for one file, and whether it could not be read as a proof of the kind."""
    from icn_crypto.lines import InvalidMember
    from icn_crypto.proof_files import verify_proof

    try:
        return dict(verify_proof(kind, json.loads(read_file(path, PROOF_BYTES_MAX)))), False
    except InvalidMember as error:
        fault = f"{path}: field {error}"
    except (ValueError, RecursionError) as error:
        fault = f"{path}: not JSON: {error}"
    except Refused as error:
        fault = str(error)
    say(f"icn: {fault}")
    return {"valid": False, "reason": "not a proof of this kind", "error": fault}, True


def _batch_files(folder: Path) -> list[Path]:
    """The regular files of a folder that are not hidden, by name. Raises Refused."""
    absolute = folder.absolute()  # so that a file named "-" is not taken for standard input
    try:
        found = sorted(
            path for path in absolute.iterdir() if not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}", "FILE_UNREADABLE") from None
    if len(found) > BATCH_FILES_MAX:
        raise Refused(f"{folder}: more than {BATCH_FILES_MAX} files", "FILE_TOO_LARGE")
    return found
