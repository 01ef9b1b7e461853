"""Verifiable credentials: their form, their time, their proofs and their status.

Source: W3C Verifiable Credentials Data Model 2.0, sections 4 and 7.1; 1.1 for credentials from before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_credentials import json_forms, proofs, status_list, times
from icn_credentials.faults import CredentialFault, InvalidCredential
from icn_credentials.json_forms import JsonObject
from icn_credentials.proofs import ProofVerdict, Resolve, Terms
from icn_credentials.status_list import StatusEntry, StatusList

CREDENTIAL_BYTES_MAX: Final = 8_388_608
"""A status list of 33 million entries, none of them alike, fits; a membership has four kilobytes."""
SUBJECTS_MAX: Final = 256

CONTEXT_V2: Final = "https://www.w3.org/ns/credentials/v2"
CONTEXT_V1: Final = "https://www.w3.org/2018/credentials/v1"
UNDEFINED_TERMS_V2: Final = "https://www.w3.org/ns/credentials/undefined-terms/v2"
_TIMES: Final[Mapping[str, tuple[str, str]]] = {
    CONTEXT_V2: ("validFrom", "validUntil"),
    CONTEXT_V1: ("issuanceDate", "expirationDate"),
}


class Status(Enum):
    """What is known of a credential's status."""

    NONE = "none"
    """It has none: it cannot be revoked."""
    NOT_CHECKED = "not_checked"
    """Its list was not given."""
    GOOD = "good"
    REVOKED = "revoked"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a credential."""

    is_valid: bool
    reason: str
    """Empty when valid."""
    proofs: tuple[ProofVerdict, ...]
    issuer: str = ""
    is_issuer_bound: bool = False
    """Every proof was made with a key of the issuer's own document."""
    status: Status = Status.NONE


def verify(
    credential: JsonObject,
    resolve: Resolve,
    now_ms: int,
    lists: Mapping[str, StatusList] | None = None,
) -> Verdict:
    """Form, time, every proof, and status where its list is given by its URL.

    A credential whose issuer is not a DID, or is another than the key's, can be valid: that its proofs hold
    is all it says. Who relies on the issuer asks for ``is_issuer_bound`` too.
    """
    try:
        issuer = check_form(credential, now_ms)
        verdicts = proofs.verify(credential, Terms(resolve, now_ms))
    except CredentialFault as fault:
        return Verdict(False, str(fault), ())
    bad = next(((number, proof) for number, proof in enumerate(verdicts, 1) if not proof.is_valid), None)
    if bad is not None:
        reason = f"proof {bad[0]}: {bad[1].reason}"
        return Verdict(False, reason, tuple(verdicts), issuer)
    is_bound = all(proof.controller == issuer for proof in verdicts)
    try:
        status = status_of(status_list.status_entries(credential), lists or {})
    except CredentialFault as fault:
        return Verdict(False, f"status: {fault}", tuple(verdicts), issuer, is_bound)
    reason = f"the credential is {status.value}" if status in (Status.REVOKED, Status.SUSPENDED) else ""
    return Verdict(not reason, reason, tuple(verdicts), issuer, is_bound, status)


def check_form(credential: JsonObject, now_ms: int) -> str:
    """The issuer of a credential that has its form and is in its time.

    Raises:
        InvalidCredential: a member is missing or has not its form, it is not valid yet, or no longer.
    """
    contexts = credential.get("@context")
    first = contexts[0] if isinstance(contexts, list) and contexts else contexts
    if not isinstance(first, str) or first not in _TIMES:
        raise InvalidCredential(f"@context begins with {CONTEXT_V2}")
    types = json_forms.texts(credential.get("type", []), "type", InvalidCredential)
    if "VerifiableCredential" not in types:
        raise InvalidCredential("type: VerifiableCredential is not among them")
    if "id" in credential:
        json_forms.text(credential, "id", InvalidCredential)
    subjects = json_forms.objects(
        credential.get("credentialSubject", []), "credentialSubject", InvalidCredential, SUBJECTS_MAX
    )
    if not subjects or not all(subjects):
        raise InvalidCredential("credentialSubject: an object that says something is expected")
    from_name, until_name = _TIMES[first]
    from_ms = _time(credential, from_name)
    until_ms = _time(credential, until_name)
    if from_ms is not None and until_ms is not None and until_ms < from_ms:
        raise InvalidCredential(f"{until_name} is before {from_name}")
    if from_ms is not None and now_ms < from_ms:
        raise InvalidCredential(f"the credential is valid from {credential[from_name]} on")
    if until_ms is not None and now_ms > until_ms:
        raise InvalidCredential(f"the credential was valid until {credential[until_name]}")
    return issuer_of(credential)


def _time(credential: JsonObject, name: str) -> int | None:
    if name not in credential:
        return None
    return times.read(credential[name], name, InvalidCredential)


def issuer_of(credential: JsonObject) -> str:
    """The issuer's id.

    Raises:
        InvalidCredential: there is none.
    """
    issuer: JsonValue = credential.get("issuer")
    found = issuer.get("id") if isinstance(issuer, dict) else issuer
    if not isinstance(found, str) or ":" not in found:
        raise InvalidCredential("issuer: a URL, or an object with one as its id, is expected")
    return found


def status_of(entries: Iterable[StatusEntry], lists: Mapping[str, StatusList]) -> Status:
    """The worst status of the entries.

    Raises:
        InvalidStatusList: a list is for another purpose, or too short.
    """
    found = Status.NONE
    for entry in entries:
        if entry.list_url not in lists:
            status = Status.NOT_CHECKED
        elif lists[entry.list_url].status(entry) and entry.purpose in _SET:
            status = _SET[entry.purpose]
        else:
            status = Status.GOOD
        found = max(found, status, key=_RANK.index)
    return found


_SET: Final = {status_list.REVOCATION: Status.REVOKED, status_list.SUSPENSION: Status.SUSPENDED}
_RANK: Final = (Status.NONE, Status.GOOD, Status.NOT_CHECKED, Status.SUSPENDED, Status.REVOKED)
