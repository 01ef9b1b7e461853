"""Which entries of did:webvh logs are taken: those that follow, and mirror the ledger's keys.

Source: docs/spec/identity.md, "DID logs".
"""

from __future__ import annotations

from icn_credentials import organization, webvh_did, webvh_log
from icn_credentials.faults import CredentialFault
from icn_credentials.json_forms import JsonObject
from icn_credentials.webvh_log import Entry, Log

from icn_identity.domain.principals import Controller
from icn_identity.domain.refusals import did_elsewhere, did_entry_invalid, did_entry_stale, keys_differ

ENTRY_BYTES_MAX = 131_072
"""Sixteen keys of both suites are 50 KB."""
ENTRIES_MAX = 1_000
"""Of a log; verifying one from its start costs 0.4 s then."""
FREE_MEMBERS = frozenset(("service", "alsoKnownAs"))
"""What a document may say beside the keys."""


def read_entry(line: bytes, log: Log | None, now_ms: int) -> Entry:
    """The entry, verified after those stored.

    Raises:
        InvalidArgument: DID_ENTRY_INVALID.
        FailedPrecondition: DID_ENTRY_STALE.
    """
    if len(line) > ENTRY_BYTES_MAX or b"\n" in line or b"\r" in line:
        raise did_entry_invalid(f"an entry is one line of at most {ENTRY_BYTES_MAX} bytes")
    stored = 0 if log is None else log.last.number
    if stored == ENTRIES_MAX:
        raise did_entry_invalid(f"a log has at most {ENTRIES_MAX} entries")
    number = _number(line)
    if number is not None and number != stored + 1:
        raise did_entry_stale(number, stored)
    try:
        return webvh_log.read_entry(line, None if log is None else log.last, now_ms)
    except CredentialFault as fault:
        raise did_entry_invalid(str(fault)) from fault


def _number(line: bytes) -> int | None:
    """The version number that a line says it has; None where it cannot be told."""
    _, found, rest = line.partition(b'"versionId":')
    digits = rest.lstrip(b' "').partition(b"-")[0] if found else b""
    return int(digits) if digits.isdigit() and len(digits) < 9 else None


def check_entry(entry: Entry, controller: Controller, guardian: Controller | None, domain: str) -> None:
    """Refuse an entry that is another's, or does not mirror the keys on the ledger.

    Args:
        entry: verified.
        controller: of the command's principal.
        guardian: of its guardian, None where it has none or one without keys.
        domain: where this service publishes.

    Raises:
        FailedPrecondition: DID_ELSEWHERE, KEYS_DIFFER.
        InvalidArgument: DID_ENTRY_INVALID.
    """
    did = webvh_did.read(entry.did)
    expected = webvh_did.read(organization.did_template(domain, controller.principal), is_template=True)
    if (did.host, did.port, did.path) != (expected.host, expected.port, expected.path):
        raise did_elsewhere(f"{entry.did} is not {expected}")
    parameters = entry.parameters
    if parameters.is_portable:
        raise did_elsewhere("a DID that is published here is not portable")
    if parameters.witnesses is not None or parameters.next_key_hashes:
        raise did_entry_invalid("witnesses and keys committed to in advance are not used here")
    if parameters.is_deactivated:
        return
    check_mirror(entry.document, entry.did, controller)
    _check_update_keys(parameters.update_keys, controller, guardian)


def check_mirror(document: JsonObject, did: str, controller: Controller) -> None:
    """Refuse a document that does not show exactly the controller's unscoped keys.

    Raises:
        FailedPrecondition: KEYS_DIFFER.
    """
    if not is_mirror(document, did, controller):
        raise keys_differ("the document does not show exactly the unscoped keys of the ledger's controller")


def is_mirror(document: JsonObject, did: str, controller: Controller) -> bool:
    """Whether a document shows exactly the controller's unscoped keys."""
    shown = {name: value for name, value in document.items() if name not in FREE_MEMBERS}
    return shown == organization.mirror_document(did, controller.own_keys)


def _check_update_keys(keys: tuple[str, ...], controller: Controller, guardian: Controller | None) -> None:
    own = {key.did_key_part() for key in organization.update_keys(controller.own_keys)}
    others = set()
    if guardian is not None:
        others = {key.did_key_part() for key in organization.update_keys(guardian.own_keys)}
    if not own <= set(keys):
        raise keys_differ("updateKeys lacks an unscoped key of the ledger's controller")
    foreign = sorted(set(keys) - own - others)
    if foreign:
        raise keys_differ(f"update key {foreign[0][:60]} is neither the controller's nor its guardian's")
