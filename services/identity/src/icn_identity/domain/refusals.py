"""What identity refuses, with the reasons that its proto names."""

from __future__ import annotations

from icn_kit.errors import FailedPrecondition, InvalidArgument, NotFound


def did_entry_invalid(why: str) -> InvalidArgument:
    """The entry does not hold."""
    return InvalidArgument("DID_ENTRY_INVALID", why)


def keys_differ(why: str) -> FailedPrecondition:
    """The entry does not mirror the ledger."""
    return FailedPrecondition("KEYS_DIFFER", why)


def did_elsewhere(why: str) -> FailedPrecondition:
    """The DID is not one that this service publishes for the principal."""
    return FailedPrecondition("DID_ELSEWHERE", why)


def did_entry_stale(number: int, stored: int) -> FailedPrecondition:
    """Another entry was first, or one is missing before."""
    return FailedPrecondition(
        "DID_ENTRY_STALE",
        f"the entry is version {number}, the log has {stored}",
        version_number=number,
        stored_versions=stored,
    )


def did_unknown(name: str) -> NotFound:
    """No log is stored."""
    return NotFound("DID_UNKNOWN", f"{name[:128]} has no log here", name=name[:128])


def issuer_without_did(principal: bytes) -> FailedPrecondition:
    """An organization signs credentials only once it has a DID."""
    return FailedPrecondition("DID_UNKNOWN", f"principals/{principal.hex()} has no DID here")


def issuer_mismatch(issuer: str, did: str) -> FailedPrecondition:
    """Somebody else is named as the issuer."""
    return FailedPrecondition("ISSUER_MISMATCH", f"the issuer is {issuer[:200]}, the organization is {did}")


def threshold_not_met(keys: int, threshold: int) -> FailedPrecondition:
    """Too few of the organization's keys made proofs."""
    return FailedPrecondition(
        "THRESHOLD_NOT_MET",
        f"{keys} present keys of the organization have signed in every suite they have, {threshold} must",
        keys=keys,
        threshold=threshold,
    )


def credential_invalid(why: str) -> InvalidArgument:
    """The document is no credential that is taken."""
    return InvalidArgument("CREDENTIAL_INVALID", why)


def status_list_invalid(why: str) -> InvalidArgument:
    """The document is no status list that is taken."""
    return InvalidArgument("STATUS_LIST_INVALID", why)


def malformed_name(name: str, expected: str) -> InvalidArgument:
    """A resource name is not of its form."""
    return InvalidArgument("MALFORMED_NAME", f"expected {expected}", name=name[:80])
