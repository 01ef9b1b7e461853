"""Resolving DIDs from what is given: their own text, or logs that were read before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from icn_crypto.jcs import JsonValue

from icn_credentials import did_key, did_peer, documents, times, webvh_did, webvh_log
from icn_credentials.documents import VerificationMethod
from icn_credentials.faults import InvalidDid, InvalidProof, NotResolvable
from icn_credentials.json_forms import JsonObject
from icn_credentials.webvh_log import Entry, Log

DID_CHARACTERS_MAX: Final = 16_384
"""An ML-DSA-87 key in base58 has 3,600 characters; a verification method names it twice."""
_QUERY: Final = ("versionId", "versionNumber", "versionTime")


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a DID is asked for; the newest where nothing is said."""

    version_id: str | None = None
    version_number: int | None = None
    version_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """A DID document with what is known about it."""

    document: JsonObject
    metadata: JsonObject


def split_url(url: str) -> tuple[str, Version, str]:
    """DID, version and fragment of a DID URL.

    Raises:
        InvalidDid: no DID URL, a path, or a query that is not about versions.
    """
    if len(url) > DID_CHARACTERS_MAX:
        raise InvalidDid(f"a DID URL has at most {DID_CHARACTERS_MAX} characters")
    rest, _, fragment = url.partition("#")
    did, separator, query = rest.partition("?")
    if not did.startswith("did:") or ":" not in did[4:]:
        raise InvalidDid(f"{url[:80]!r} is no DID")
    if "/" in did:
        raise InvalidDid("DIDs are resolved, paths below them are not")
    return did, _read_query(query) if separator else Version(), fragment


def _read_query(query: str) -> Version:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=8):
        if name not in _QUERY or name in values:
            raise InvalidDid(f"query {name[:40]!r} is not {', '.join(_QUERY)}, each at most once")
        values[name] = value
    time_ms = None
    if "versionTime" in values:
        # A + of the zone, not escaped, was read as a space.
        time_ms = times.read(values["versionTime"].replace(" ", "+"), "versionTime", InvalidDid)
    return Version(values.get("versionId"), read_number(values.get("versionNumber")), time_ms)


def read_number(text: str | None) -> int | None:
    """A version number from text.

    Raises:
        InvalidDid: not a whole number from 1.
    """
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise InvalidDid(f"versionNumber {text[:20]!r} is no whole number from 1")
    return int(text)


def resolve(did: str, version: Version = Version(), logs: Mapping[str, Log] | None = None) -> Resolution:
    """The document of a DID.

    Args:
        did: without query and fragment.
        version: of a did:webvh; other methods have one only.
        logs: verified ones, by self-certifying identifier.

    Raises:
        InvalidDid: malformed, or its log does not hold.
        NotFound: the log has no such version.
        NotResolvable: another method, or its log is not given.
    """
    if did.startswith(webvh_did.PREFIX):
        return _from_log(did, version, logs or {})
    if version != Version():
        raise InvalidDid("only a did:webvh has versions")
    if did.startswith(did_key.PREFIX):
        return Resolution(did_key.resolve(did), {})
    if did.startswith(did_peer.PREFIX):
        return Resolution(did_peer.resolve(did), {})
    raise NotResolvable(f"{did[:80]!r} cannot be resolved here: did:key, did:peer and did:webvh can")


def _from_log(did: str, version: Version, logs: Mapping[str, Log]) -> Resolution:
    parts = webvh_did.read(did)
    log = logs.get(parts.scid)
    if log is None:
        raise NotResolvable(f"the log of {did} is not here; it is published at {parts.log_url()}")
    entry = webvh_log.find(
        log,
        did=did,
        version_id=version.version_id,
        version_number=version.version_number,
        version_time_ms=version.version_time_ms,
    )
    return Resolution(entry.document, metadata_of(log, entry))


def metadata_of(log: Log, entry: Entry) -> JsonObject:
    """``didDocumentMetadata`` of a version (did:webvh 1.0, "Read (Resolve)")."""
    newest = log.last.parameters
    metadata: JsonObject = {
        "versionId": entry.version_id,
        "versionNumber": entry.number,
        "versionTime": times.write(entry.version_time_ms),
        "created": times.write(log.entries[0].version_time_ms),
        "updated": times.write(log.last.version_time_ms),
        "scid": log.scid,
        "portable": newest.is_portable,
        "deactivated": newest.is_deactivated,
        "ttl": str(newest.ttl_seconds),
    }
    if newest.witnesses is not None:
        listed: list[JsonValue] = [{"id": did} for did in newest.witnesses.dids]
        metadata["witness"] = {"threshold": str(newest.witnesses.threshold), "witnesses": listed}
    if newest.watchers:
        metadata["watchers"] = list(newest.watchers)
    return metadata


class Resolver:
    """Finds keys for proofs, in documents of DIDs that resolve from what is given."""

    def __init__(self, logs: Mapping[str, Log] | None = None, at_ms: int | None = None) -> None:
        """Take the versions of a moment in the past, or the newest where none is said."""
        self._logs = logs or {}
        self._version = Version(version_time_ms=at_ms)

    def verification_method(self, method_id: str, purpose: str) -> VerificationMethod:
        """The key of a verification method in its document.

        Raises:
            CredentialFault: it does not resolve, is not authorized for the purpose, or its DID is off.
        """
        did, version, fragment = split_url(method_id)
        if not fragment and method_id == did and did.startswith(did_key.PREFIX):
            # As the drafts for quantum-safe suites have it: a did:key is its key.
            fragment = did.removeprefix(did_key.PREFIX)
            method_id = f"{did}#{fragment}"
        if not fragment:
            raise InvalidProof(f"verification method {method_id[:80]!r} names no key")
        if version != Version():
            raise InvalidProof("a verification method is named without a version")
        asked = self._version if did.startswith(webvh_did.PREFIX) else version
        found = resolve(did, asked, self._logs)
        if found.metadata.get("deactivated") is True and self._version == Version():
            raise InvalidProof(f"{did} is deactivated")
        return documents.verification_method(found.document, method_id, purpose)
