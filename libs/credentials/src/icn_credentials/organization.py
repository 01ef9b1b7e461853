"""What organizations sign with the keys that the ledger lists: documents, memberships, offices, status lists.

Made by the client where the keys are, checked by services/identity. Source: docs/spec/identity.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from icn_crypto.jcs import JsonValue
from icn_crypto.suites import Suite

from icn_credentials import status_list, times, webvh_author
from icn_credentials.credential import CONTEXT_V2, UNDEFINED_TERMS_V2
from icn_credentials.documents import DID_CONTEXT, MULTIKEY_CONTEXT
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import KeyKind, PublicKey

LedgerKeys = Mapping[bytes, Mapping[int, bytes]]
"""Public keys by suite number, by key id (16 bytes)."""

KINDS: Final = {int(Suite.ED25519): KeyKind.ED25519, int(Suite.ML_DSA_65): KeyKind.ML_DSA_65}
RELATIONSHIPS: Final = ("authentication", "assertionMethod")
ORGANIZATIONS_FOLDER: Final = "orgs"
PRINCIPAL_URN: Final = "urn:icn:principal:"
MEMBERSHIP_TYPE: Final = "MembershipCredential"
OFFICE_TYPE: Final = "OfficeCredential"
_FRAGMENT: Final = re.compile(r"([0-9a-f]{32})-([1-9])")


def did_template(domain: str, principal: bytes) -> str:
    """The did:webvh of an organization before its identifier is known.

    Raises:
        InvalidDid: the domain is none.
    """
    return webvh_author.template(domain, (ORGANIZATIONS_FOLDER, principal.hex()))


def method_id(did: str, key_id: bytes, suite: int) -> str:
    """The verification method of a key of the ledger in one suite."""
    return f"{did}#{key_id.hex()}-{suite}"


def read_method_id(did: str, name: str) -> tuple[bytes, int] | None:
    """Key id and suite of such a name; None where it is no name of ours or of another DID."""
    of, _, fragment = name.partition("#")
    matched = _FRAGMENT.fullmatch(fragment)
    if of != did or matched is None:
        return None
    return bytes.fromhex(matched.group(1)), int(matched.group(2))


def mirror_document(did: str, keys: LedgerKeys) -> JsonObject:
    """The DID document that shows these keys."""
    methods: list[JsonValue] = []
    names: list[JsonValue] = []
    for key_id, public_keys in sorted(keys.items()):
        for suite, public_key in sorted(public_keys.items()):
            name = method_id(did, key_id, suite)
            multikey = PublicKey(KINDS[suite], public_key).multikey()
            methods.append(
                {"id": name, "type": "Multikey", "controller": did, "publicKeyMultibase": multikey}
            )
            names.append(name)
    document: JsonObject = {
        "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
        "id": did,
        "verificationMethod": methods,
    }
    for relationship in RELATIONSHIPS:
        document[relationship] = list(names)
    return document


def update_keys(keys: LedgerKeys) -> list[PublicKey]:
    """The Ed25519 keys among them, which may update the DID, by key id."""
    return [
        PublicKey(KeyKind.ED25519, public_keys[Suite.ED25519])
        for _, public_keys in sorted(keys.items())
        if Suite.ED25519 in public_keys
    ]


def status_list_url(domain: str, principal: bytes) -> str:
    """The id of an organization's status list."""
    host = domain.replace("%3A", ":")
    return f"https://{host}/{ORGANIZATIONS_FOLDER}/{principal.hex()}/status"


def principal_urn(principal: bytes) -> str:
    """How credentials name a principal."""
    return PRINCIPAL_URN + principal.hex()


def claim_credential(
    *,
    uuid: str,
    issuer: str,
    subject: bytes,
    list_url: str,
    list_index: int,
    valid_from_ms: int,
    valid_until_ms: int | None = None,
    office: str = "",
) -> JsonObject:
    """A membership, or an office where one is named, without proofs."""
    about: JsonObject = {"id": principal_urn(subject), "memberOf": issuer}
    if office:
        about["office"] = office
    form: JsonObject = {
        "@context": [CONTEXT_V2, UNDEFINED_TERMS_V2],
        "id": f"urn:uuid:{uuid}",
        "type": ["VerifiableCredential", OFFICE_TYPE if office else MEMBERSHIP_TYPE],
        "issuer": issuer,
        "validFrom": times.write(valid_from_ms),
        "credentialSubject": about,
        "credentialStatus": {
            "id": f"{list_url}#{list_index}",
            "type": status_list.ENTRY_TYPE,
            "statusPurpose": status_list.REVOCATION,
            "statusListIndex": str(list_index),
            "statusListCredential": list_url,
        },
    }
    if valid_until_ms is not None:
        form["validUntil"] = times.write(valid_until_ms)
    return form


def status_list_credential(issuer: str, list_url: str, content: bytes, valid_from_ms: int) -> JsonObject:
    """A status list for revocation, without proofs."""
    return {
        "@context": [CONTEXT_V2],
        "id": list_url,
        "type": ["VerifiableCredential", status_list.CREDENTIAL_TYPE],
        "issuer": issuer,
        "validFrom": times.write(valid_from_ms),
        "credentialSubject": status_list.list_subject(list_url, [status_list.REVOCATION], content),
    }


def keys_that_signed(did: str, names: Iterable[str], keys: LedgerKeys) -> set[bytes]:
    """Key ids among ``keys`` that made a proof of every suite they have, by the proofs' methods."""
    made: dict[bytes, set[int]] = {}
    for name in names:
        if (read := read_method_id(did, name)) is not None:
            made.setdefault(read[0], set()).add(read[1])
    return {key_id for key_id, public_keys in keys.items() if set(public_keys) <= made.get(key_id, set())}
