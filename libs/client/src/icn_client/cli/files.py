"""Commands on files: offline, JSON to stdout, on the engines that the services use."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import typer

from icn_client.cli import ledger_rebuilding
from icn_client.cli.common import command_group
from icn_client.cli.output import (
    EXIT_REFUSED,
    Progress,
    Refused,
    UsageError,
    print_bytes,
    print_json,
    print_json_lines,
    progress,
    say,
)

STANDARD_INPUT = Path("-")
FILE_BYTES_MAX = 256 * 1024 * 1024
"""More than any document of the platform; bounds what a mistaken path can do to the memory."""
PROOF_BYTES_MAX = 16 * 1024 * 1024
"""A thousand hashes in base64 are 45 KB; a published vector is less."""
BATCH_FILES_MAX = 1_000_000
FAULTS_SAID_MAX = 20
"""Lines that cannot be read are named one by one up to here."""
CHUNK_LINES = 512
"""Lines answered together once one of a file cannot be; what is left of them is copied for each such line."""
Answer = Callable[[Sequence[object]], Sequence[Any]]
T = TypeVar("T")

BatchOption = Annotated[
    Path,
    typer.Option(
        "--batch",
        metavar="FILE.jsonl",
        help="One JSON object per line; - for standard input.",
        readable=False,
    ),
]

_JCS_EXAMPLES = """\b
Examples:
  icn jcs genesis.json | sha256sum
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn crypto verify --batch signatures.jsonl
"""
_DECAPS_EXAMPLES = """\b
Examples:
  icn crypto decaps --batch ciphertexts.jsonl
"""
_PUBLIC_EXAMPLES = """\b
Examples:
  icn crypto public --batch seeds.jsonl
"""
_LEDGER_EXAMPLES = """\b
Examples:
  icn ledger verify-proof --kind inclusion --in proof.json
  icn ledger verify-proof --kind consistency --batch proofs/
  icn ledger rebuild --validator 2 --replace
"""
_VERIFY_PROOF_EXAMPLES = """\b
Examples:
  icn ledger verify-proof --kind inclusion --in proof.json
  icn ledger verify-proof --kind consistency --batch proofs/
"""


def register(app: typer.Typer) -> None:
    """Add `jcs`, `crypto` and `ledger`."""
    app.command("jcs", epilog=_JCS_EXAMPLES)(jcs)
    crypto = command_group("Signatures and keys, by the engine that the services use.")
    crypto.command("verify", epilog=_VERIFY_EXAMPLES)(crypto_verify)
    crypto.command("decaps", epilog=_DECAPS_EXAMPLES)(crypto_decaps)
    crypto.command("public", epilog=_PUBLIC_EXAMPLES)(crypto_public)
    app.add_typer(crypto, name="crypto")
    ledger = command_group("Proofs of logs and ledgers, and a ledger made anew.", _LEDGER_EXAMPLES)
    ledger.command("verify-proof", epilog=_VERIFY_PROOF_EXAMPLES)(verify_proof)
    ledger_rebuilding.register(ledger)
    app.add_typer(ledger, name="ledger")


def to_owner_only(file: IO[bytes]) -> None:
    """Let nobody else read an open file: what is in it others need not see."""
    os.fchmod(file.fileno(), 0o600)


def write_new_file(path: Path, work: Callable[[IO[bytes], Progress], T], what: str) -> T:
    """Have a file written that is not there yet; nothing is left of one that was not finished.

    Args:
        path: of the file.
        work: writes it, and tells how far it is.
        what: is written, for people.
    """
    from icn_chain.epochs import ProofInvalid

    from icn_client.light.final_header import ProofMalformed

    try:
        file = path.open("xb+")
    except FileExistsError:
        raise UsageError(f"{path} is there already") from None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "FILE_UNWRITABLE") from None
    try:
        with file, progress(what) as shown:
            return work(file, shown)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, ProofInvalid | ProofMalformed):
            raise Refused(
                f"the platform answered with a proof that does not hold: {error}", "PROOF_INVALID"
            ) from None
        if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG, EIO):
            raise Refused(f"{path}: {error.strerror}", "FILE_UNWRITABLE") from None
        raise


def read_file(path: Path, bytes_max: int) -> bytes:
    """The bytes of a file, or of standard input for ``-``. Raises Refused."""
    try:
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise Refused("-: standard input is closed", "FILE_UNREADABLE")
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
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A JSON file; - for standard input.", readable=False)
    ],
) -> None:
    """Print a JSON file in the canonical form of RFC 8785, nothing after it."""
    from icn_crypto.jcs import canonicalize_text

    content = read_file(file, FILE_BYTES_MAX)
    try:
        canonical = canonicalize_text(content)
    except ValueError as error:
        from icn_client.json_fault import find_fault

        raise Refused(f"{file}: {find_fault(content) or error}", "NOT_JSON") from None
    print_bytes(canonical)


def crypto_verify(batch: BatchOption) -> None:
    """Verify signatures: lines {"alg","pk","msg","sig","ctx"?} in hex, one {"valid"} each, in order.

    alg: ed25519, ed25519-zip215 (the chain's own rule), ml-dsa-44, ml-dsa-65, ml-dsa-87. A line that cannot
    be read is not valid, and named on stderr; exit 1 where one is no JSON object.
    """
    from icn_crypto.batch import verify_lines

    lines = _read_lines(batch)
    faults = 0
    answers: list[dict[str, Any]] = []
    for number, answer in enumerate(_answer_each(verify_lines, lines), start=1):
        if isinstance(answer, LineFault):
            faults += 1
            if faults <= FAULTS_SAID_MAX:
                say(f"icn: {batch}: line {number}: {answer.message}")
        answers.append({"valid": False} if isinstance(answer, LineFault) else answer)
    if faults > FAULTS_SAID_MAX:
        say(f"icn: {batch}: and {faults - FAULTS_SAID_MAX} more such lines")
    print_json_lines(answers)
    if any(isinstance(line, LineFault) and not line.is_object for line in lines):
        raise SystemExit(EXIT_REFUSED)


def crypto_decaps(batch: BatchOption) -> None:
    """Decapsulate: lines {"alg","seed"|"sk","ct"} in hex, one {"shared"} or {"error"} each, in order.

    alg: ml-kem-768, ml-kem-1024, x25519 (ct is the peer's public key). Exit 1 where a line is not JSON.
    """
    from icn_crypto.batch import decapsulate_lines

    _answer_lines(batch, decapsulate_lines)


def crypto_public(batch: BatchOption) -> None:
    """Public keys from seeds: lines {"alg","seed"} in hex, one {"pk"} or {"error"} each, in order.

    Exit 1 where a line is not JSON.
    """
    from icn_crypto.batch import public_key_lines

    _answer_lines(batch, public_key_lines)


@dataclass(frozen=True, slots=True)
class LineFault:
    """Why one line has no answer."""

    message: str
    """Names the field, where there is one."""
    is_json: bool = True
    is_object: bool = True


def _answer_lines(path: Path, answer: Answer) -> None:
    lines = _read_lines(path)
    print_json_lines(
        {"error": one.message} if isinstance(one, LineFault) else one for one in _answer_each(answer, lines)
    )
    broken = [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if isinstance(line, LineFault) and not line.is_json
    ]
    for number, line in broken[:FAULTS_SAID_MAX]:
        say(f"icn: {path}: line {number}: {line.message}")
    if broken:
        raise SystemExit(EXIT_REFUSED)


def _answer_each(answer: Answer, lines: Sequence[object]) -> list[Any]:
    """An answer or a `LineFault` for each line; a line that cannot be answered costs the others nothing."""
    from icn_crypto.batch import InvalidLine

    try:
        return list(answer(lines))
    except InvalidLine:
        pass
    found: list[Any] = []
    for start in range(0, len(lines), CHUNK_LINES):
        left = list(lines[start : start + CHUNK_LINES])
        while left:
            try:
                found += answer(left)
                break
            except InvalidLine as error:
                position = error.line - 1
                fault = left[position]
                found += answer(left[:position])
                found.append(
                    fault if isinstance(fault, LineFault) else LineFault(str(error.__cause__ or error))
                )
                left = left[position + 1 :]
    return found


def _read_lines(path: Path) -> list[object]:
    """The objects of a file with one JSON object per line, a `LineFault` where there is none; an empty last
    line does not count. Raises Refused.
    """
    from icn_crypto.batch import LINES_MAX

    lines = read_file(path, FILE_BYTES_MAX).split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    if len(lines) > LINES_MAX:
        raise Refused(f"{path}: line {LINES_MAX + 1}: a file has at most {LINES_MAX} lines", "LINE_INVALID")
    return [_read_line(line) for line in lines]


def _read_line(line: bytes) -> object:
    try:
        value = json.loads(line, object_pairs_hook=_members)
    except _MemberTwice as error:
        return LineFault(str(error))
    except (ValueError, RecursionError) as error:
        return LineFault(f"not JSON: {error}", is_json=False, is_object=False)
    if not isinstance(value, dict):
        return LineFault("not a JSON object", is_object=False)
    return value


class _MemberTwice(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    from icn_crypto.jcs import repeated_member

    twice = repeated_member(pairs)
    if twice is not None:
        raise _MemberTwice(f"{twice}: stands twice in one object")
    return dict(pairs)


def verify_proof(
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="inclusion, consistency, subtree-inclusion, subtree-consistency or ics23."
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option("--in", metavar="FILE.json", help="The proof; - for standard input.", readable=False),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch", metavar="DIR", help="Every file of a folder that is not hidden.", readable=False
        ),
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
        for path in batch_files(batch):
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


def batch_files(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden, by name, links to nothing among them. Raises Refused."""
    absolute = folder.absolute()  # so that a file named "-" is not taken for standard input
    try:
        found = sorted(
            path
            for path in absolute.iterdir()
            if not path.name.startswith(".") and (path.is_file() or not path.exists())
        )
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}", "FILE_UNREADABLE") from None
    if len(found) > BATCH_FILES_MAX:
        raise Refused(f"{folder}: more than {BATCH_FILES_MAX} files", "FILE_TOO_LARGE")
    return found
