"""Memberships and offices that organizations sign, and the lists that revoke them.

Source: docs/spec/identity.md, "Credentials" and "Status lists".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from icn_credentials import credential, json_forms, organization, status_list, times
from icn_credentials.faults import CredentialFault, InvalidCredential
from icn_credentials.json_forms import JsonObject
from icn_credentials.proofs import Resolve

from icn_identity.domain.principals import Controller
from icn_identity.domain.refusals import (
    credential_invalid,
    issuer_mismatch,
    status_list_invalid,
    threshold_not_met,
)

CREDENTIAL_BYTES_MAX = 65_536
"""A threshold of three keys of both suites makes 15 KB."""
STATUS_LIST_BYTES_MAX = 262_144
"""A list of 131,072 entries none alike is 22 KB."""
VERIFY_BYTES_MAX = 262_144

_UUID = re.compile(r"urn:uuid:([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})")
_OFFICE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PRINCIPAL = re.compile(re.escape(organization.PRINCIPAL_URN) + r"([0-9a-f]{32})")


class ClaimKind(IntEnum):
    """What a credential says; the numbers are those of the proto."""

    MEMBERSHIP = 1
    OFFICE = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """What a credential says, taken apart."""

    id: bytes
    """16 bytes: its uuid."""
    kind: ClaimKind
    issuer: str
    subject: bytes
    office: str
    """Empty for a membership."""
    valid_from_ms: int
    valid_until_ms: int | None
    list_url: str
    list_index: int


def read_claim(content: bytes) -> tuple[JsonObject, Claim]:
    """The document and what it says; its proofs are not looked at.

    Raises:
        InvalidArgument: CREDENTIAL_INVALID.
    """
    try:
        form = json_forms.read_object(content, CREDENTIAL_BYTES_MAX, "the credential", InvalidCredential)
        return form, _claim(form)
    except CredentialFault as fault:
        raise credential_invalid(str(fault)) from fault


def _claim(form: JsonObject) -> Claim:
    uuid = _UUID.fullmatch(json_forms.text(form, "id", InvalidCredential))
    if uuid is None:
        raise InvalidCredential("id: urn:uuid: and a uuid in lower case is expected")
    types = set(json_forms.texts(form.get("type", []), "type", InvalidCredential)) - {"VerifiableCredential"}
    kinds = {
        organization.MEMBERSHIP_TYPE: ClaimKind.MEMBERSHIP,
        organization.OFFICE_TYPE: ClaimKind.OFFICE,
    }
    if len(types) != 1 or not types <= set(kinds):
        raise InvalidCredential(f"type: one of {', '.join(kinds)} is expected")
    kind = kinds[types.pop()]
    issuer = credential.issuer_of(form)
    subject = form.get("credentialSubject")
    if not isinstance(subject, dict):
        raise InvalidCredential("credentialSubject: one object is expected")
    principal = _PRINCIPAL.fullmatch(json_forms.text(subject, "id", InvalidCredential))
    if principal is None:
        raise InvalidCredential(f"credentialSubject.id: {organization.PRINCIPAL_URN} and 32 hex digits")
    if subject.get("memberOf") != issuer:
        raise InvalidCredential("credentialSubject.memberOf is the issuer")
    office = subject.get("office", "")
    if not isinstance(office, str) or bool(office) != (kind is ClaimKind.OFFICE):
        raise InvalidCredential("office stands in office credentials, as text")
    if office and _OFFICE.fullmatch(office) is None:
        raise InvalidCredential("office: a lower-case word of at most 32 characters is expected")
    if "validFrom" not in form:
        raise InvalidCredential("validFrom is expected")
    entries = status_list.status_entries(form)
    if len(entries) != 1 or entries[0].purpose != status_list.REVOCATION or entries[0].bits != 1:
        raise InvalidCredential("credentialStatus: one entry for revocation is expected")
    until = form.get("validUntil")
    return Claim(
        id=bytes.fromhex("".join(uuid.groups())),
        kind=kind,
        issuer=issuer,
        subject=bytes.fromhex(principal.group(1)),
        office=office,
        valid_from_ms=times.read(form["validFrom"], "validFrom", InvalidCredential),
        valid_until_ms=None if until is None else times.read(until, "validUntil", InvalidCredential),
        list_url=entries[0].list_url,
        list_index=entries[0].index,
    )


def check_signed(
    form: JsonObject, did: str, controller: Controller, resolve: Resolve, now_ms: int
) -> str | None:
    """Refuse a document that the organization's present keys have not signed, up to its threshold.

    Returns:
        Why it does not hold; None where it does.

    Raises:
        FailedPrecondition: ISSUER_MISMATCH, THRESHOLD_NOT_MET.
    """
    # A document made for later has not begun; everything else of its time must hold now.
    begin_ms = now_ms
    try:
        if "validFrom" in form:
            begin_ms = max(now_ms, times.read(form["validFrom"], "validFrom", InvalidCredential))
    except CredentialFault as fault:
        return str(fault)
    verdict = credential.verify(form, resolve, begin_ms)
    if verdict.issuer and verdict.issuer != did:
        raise issuer_mismatch(verdict.issuer, did)
    if not verdict.is_valid:
        return verdict.reason
    if not verdict.is_issuer_bound:
        return "a proof is made with a key that is not the issuer's"
    names = [proof.verification_method for proof in verdict.proofs]
    signed = organization.keys_that_signed(did, names, controller.own_keys)
    if len(signed) < controller.threshold:
        raise threshold_not_met(len(signed), controller.threshold)
    return None


def read_status_list(content: bytes, list_url: str) -> tuple[JsonObject, bytes]:
    """The document of an organization's list and its bits; its proofs are not looked at.

    Raises:
        InvalidArgument: STATUS_LIST_INVALID.
    """
    try:
        form = json_forms.read_object(content, STATUS_LIST_BYTES_MAX, "the list", InvalidCredential)
        found = status_list.read_list(form)
    except CredentialFault as fault:
        raise status_list_invalid(str(fault)) from fault
    if form.get("id") != list_url:
        raise status_list_invalid(f"id is {list_url}")
    if found.purposes != (status_list.REVOCATION,) or 8 * len(found.bits) != status_list.ENTRIES_MIN:
        raise status_list_invalid(f"a list for revocation of {status_list.ENTRIES_MIN} entries is expected")
    return form, found.bits


def newly_set(before: bytes, after: bytes) -> set[int] | None:
    """Indices that are set in ``after`` and not in ``before``; None where a set bit is gone."""
    assert len(before) == len(after), "lists of one length"
    found: set[int] = set()
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old & ~new:
            return None
        if old != new:
            found.update(8 * place + bit for bit in range(8) if (new & ~old) & 0x80 >> bit)
    return found


def is_set(bits: bytes, index: int) -> bool:
    """Whether an entry of a list is set, or not in it."""
    return index >= 8 * len(bits) or bool(status_list.read_bits(bits, index))
