"""DIDs and credentials on files: offline, on the engine that the identity service uses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import identity_calls
from icn_client.cli.common import command_group
from icn_client.cli.files import batch_files, read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, say

if TYPE_CHECKING:
    from icn_credentials.status_list import StatusList
    from icn_credentials.webvh_log import Log

WITNESS_FILE = "did-witness.json"
"""Beside a log, as did:webvh publishes it."""

_RESOLVE_EXAMPLES = """\b
Examples:
  icn did resolve did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp
  icn did resolve did:webvh:QmX…:coop.example --log did.jsonl --version-number 2
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn vc verify membership.json --log did.jsonl
  icn vc verify --batch credentials/
"""

LogOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Log of a did:webvh (did.jsonl); its did-witness.json is read from beside it. May be repeated.",
        readable=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `did` and `vc`."""
    did = command_group("Decentralized identifiers.", _RESOLVE_EXAMPLES)
    did.command("resolve", epilog=_RESOLVE_EXAMPLES)(did_resolve)
    vc = command_group("Verifiable credentials.", _VERIFY_EXAMPLES)
    vc.command("verify", epilog=_VERIFY_EXAMPLES)(vc_verify)
    identity_calls.register(did, vc)
    app.add_typer(did, name="did")
    app.add_typer(vc, name="vc")


def did_resolve(
    did: Annotated[str, typer.Argument(metavar="DID", help="did:key, did:peer, or did:webvh with its log.")],
    *,
    log: LogOption = None,
    version_id: Annotated[str | None, typer.Option("--version-id", help="Version of a did:webvh.")] = None,
    version_number: Annotated[
        int | None, typer.Option("--version-number", min=1, help="Version of a did:webvh, from 1.")
    ] = None,
    version_time: Annotated[
        str | None, typer.Option("--version-time", metavar="TIME", help="Version in force at a time.")
    ] = None,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Print the document's metadata with it.")
    ] = False,
) -> None:
    """Print the DID document of a DID, offline.

    A did:webvh is resolved from its log, which is verified from its first entry on.
    """
    from icn_credentials.faults import CredentialFault, InvalidDid
    from icn_credentials.resolver import Version, resolve, split_url
    from icn_credentials.times import read

    logs = _read_logs(log)
    try:
        identifier, version, fragment = split_url(did)
        if fragment:
            raise InvalidDid(f"{did[:80]!r} names a part of a document; leave #{fragment[:40]} out")
        if version_id is not None or version_number is not None or version_time is not None:
            if version != Version():
                raise InvalidDid("the version is given in the DID or by options, not both")
            time_ms = None if version_time is None else read(version_time, "--version-time", InvalidDid)
            version = Version(version_id, version_number, time_ms)
        found = resolve(identifier, version, logs)
    except CredentialFault as fault:
        raise Refused(f"{did[:120]}: {fault}", "DID_UNRESOLVED") from None
    if metadata:
        print_json({"didDocument": found.document, "didDocumentMetadata": found.metadata})
    else:
        print_json(found.document)


def vc_verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A credential; - for standard input.", readable=False),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch", metavar="DIR", help="Every file of a folder that is not hidden.", readable=False
        ),
    ] = None,
    log: LogOption = None,
    status_list: Annotated[
        list[Path] | None,
        typer.Option(
            "--status-list",
            metavar="FILE",
            help="Credential of a status list that the credentials name. May be repeated.",
            readable=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Judge as at this time, with the keys of then."),
    ] = None,
) -> None:
    """Verify credentials with all their proofs: {"valid","reason","proofs",…}.

    valid says that every proof holds with the key it names, and that the credential is in its time;
    issuer_bound says whether those keys are the issuer's. Contexts are bundled, nothing is fetched. Exit 0
    also when it is not valid; 1 where a file is no JSON.
    """
    if (file is None) == (batch is None):
        raise UsageError("give either FILE or --batch DIR")
    logs = _read_logs(log)
    lists = _read_lists(status_list, logs)
    at_ms = _read_time(at)
    if file is not None:
        found, is_fault = _judge(file, logs, lists, at_ms)
        print_json(found)
        faults = int(is_fault)
    else:
        assert batch is not None, "exactly one is given"
        faults = 0
        for path in batch_files(batch):
            found, is_fault = _judge(path, logs, lists, at_ms)
            print_json({"file": path.name, **found})
            faults += is_fault
    if faults:
        raise SystemExit(EXIT_REFUSED)


def _judge(
    path: Path, logs: dict[str, Log], lists: dict[str, StatusList], at_ms: int | None
) -> tuple[dict[str, Any], bool]:
    """The answer for one file, and whether it could not be read."""
    from icn_credentials.credential import CREDENTIAL_BYTES_MAX
    from icn_credentials.files import verify_credential

    try:
        content = read_file(path, CREDENTIAL_BYTES_MAX)
    except Refused as error:
        say(f"icn: {error}")
        return {"valid": False, "reason": str(error), "proofs": []}, True
    found = dict(verify_credential(content, logs, lists, _now_ms(), at_ms))
    is_json = found["valid"] or _is_json(content)
    if not is_json:
        say(f"icn: {path}: {found['reason']}")
    return found, not is_json


def _is_json(content: bytes) -> bool:
    """Whether a text is JSON at all, be it otherwise refused."""
    try:
        json.loads(content)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _read_logs(paths: list[Path] | None) -> dict[str, Log]:
    from icn_credentials.faults import CredentialFault
    from icn_credentials.files import LOGS_MAX, read_logs
    from icn_credentials.webvh_log import LOG_BYTES_MAX, WITNESS_BYTES_MAX

    found: dict[str, Log] = {}
    if len(paths or []) > LOGS_MAX:
        raise UsageError(f"--log: at most {LOGS_MAX} logs are read")
    for path in paths or []:
        content = read_file(path, LOG_BYTES_MAX)
        beside = path.parent / WITNESS_FILE
        witnesses = read_file(beside, WITNESS_BYTES_MAX) if beside.is_file() else None
        try:
            found |= read_logs([(content, witnesses)], _now_ms())
        except CredentialFault as fault:
            raise Refused(f"{path}: {fault}", "LOG_INVALID") from None
    return found


def _read_lists(paths: list[Path] | None, logs: dict[str, Log]) -> dict[str, StatusList]:
    from icn_credentials.credential import CREDENTIAL_BYTES_MAX
    from icn_credentials.faults import CredentialFault
    from icn_credentials.files import LISTS_MAX, read_status_lists

    found: dict[str, StatusList] = {}
    if len(paths or []) > LISTS_MAX:
        raise UsageError(f"--status-list: at most {LISTS_MAX} lists are read")
    for path in paths or []:
        content = read_file(path, CREDENTIAL_BYTES_MAX)
        try:
            found |= read_status_lists([content], logs, _now_ms())
        except CredentialFault as fault:
            raise Refused(f"{path}: {fault}", "STATUS_LIST_INVALID") from None
    return found


def _read_time(text: str | None) -> int | None:
    from icn_credentials.faults import CredentialFault
    from icn_credentials.times import read

    if text is None:
        return None
    try:
        return read(text, "--at", CredentialFault)
    except CredentialFault as fault:
        raise UsageError(str(fault)) from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
