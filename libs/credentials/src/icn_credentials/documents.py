"""DID documents: which key a verification method names, and what it may be used for.

Source: DID Core 1.0, section 5; W3C Controlled Identifiers 1.0, sections 2 and 3.3.
"""

from dataclasses import dataclass
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_credentials import json_forms, multibase
from icn_credentials.faults import CredentialFault, InvalidDid, InvalidProof
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import KeyKind, PublicKey, check, read_multikey

RELATIONSHIPS: Final = (
    "authentication",
    "assertionMethod",
    "keyAgreement",
    "capabilityInvocation",
    "capabilityDelegation",
)
METHODS_MAX: Final = 256
"""Verification methods of a document: sixteen keys with two suites are 32."""

DID_CONTEXT: Final = "https://www.w3.org/ns/did/v1"
MULTIKEY_CONTEXT: Final = "https://w3id.org/security/multikey/v1"

_LEGACY_KINDS: Final = {
    "Ed25519VerificationKey2020": KeyKind.ED25519,
    "Ed25519VerificationKey2018": KeyKind.ED25519,
}
"""Types from before Multikey whose key can still stand in a document."""


@dataclass(frozen=True, slots=True)
class VerificationMethod:
    """A key of a DID document."""

    id: str
    controller: str
    key: PublicKey
    expires_at_ms: int | None = None


def verification_method(document: JsonObject, method_id: str, purpose: str) -> VerificationMethod:
    """The method of the document with this id, which must be authorized for the purpose.

    Raises:
        InvalidProof: the document has no such method, or not for this purpose.
    """
    if purpose not in RELATIONSHIPS:
        raise InvalidProof(f"{purpose!r} is no purpose that a document authorizes")
    subject = json_forms.text(document, "id", InvalidProof)
    embedded = _find(document.get(purpose), subject, method_id)
    if embedded is None:
        raise InvalidProof(f"{method_id} is not authorized for {purpose}")
    form = (
        embedded
        if isinstance(embedded, dict)
        else _find(document.get("verificationMethod"), subject, method_id)
    )
    if not isinstance(form, dict):
        raise InvalidProof(f"{subject} has no verification method {method_id}")
    return _method(form, method_id)


def _find(value: JsonValue, subject: str, method_id: str) -> JsonValue:
    """The item of a list that is or names the method; relative names belong to the subject."""
    if not isinstance(value, list) or len(value) > METHODS_MAX:
        return None
    for item in value:
        name = item.get("id") if isinstance(item, dict) else item
        if isinstance(name, str) and method_id in (name, subject + name if name.startswith("#") else name):
            return item
    return None


def _method(form: JsonObject, method_id: str) -> VerificationMethod:
    kind = json_forms.text(form, "type", InvalidProof)
    controller = json_forms.text(form, "controller", InvalidProof)
    try:
        if "publicKeyMultibase" in form:
            key = read_multikey(json_forms.text(form, "publicKeyMultibase", InvalidProof))
        elif "publicKeyBase58" in form and kind in _LEGACY_KINDS:
            digits = json_forms.text(form, "publicKeyBase58", InvalidProof)
            key = PublicKey(_LEGACY_KINDS[kind], multibase.decode_digits(multibase.BASE58BTC, digits))
            check(key.kind, key.content)
        else:
            raise InvalidProof(f"{method_id} has no key as a multikey")
    except InvalidProof:
        raise
    except CredentialFault as error:
        raise InvalidProof(f"{method_id}: {error}") from None
    return VerificationMethod(method_id, controller, key)


def multikey_method(document_id: str, fragment: str, key: PublicKey) -> JsonObject:
    """A verification method with the key as a multikey."""
    return {
        "id": f"{document_id}#{fragment}",
        "type": "Multikey",
        "controller": document_id,
        "publicKeyMultibase": key.multikey(),
    }


def check_document(document: JsonObject, did: str) -> None:
    """Refuse a document that is not this DID's, or whose lists are no lists.

    Raises:
        InvalidDid: the id is another, or a relationship or the methods are malformed.
    """
    if document.get("id") != did:
        raise InvalidDid(f"the document's id is not {did}")
    for name in ("verificationMethod", *RELATIONSHIPS):
        value = document.get(name, [])
        if not isinstance(value, list) or len(value) > METHODS_MAX:
            raise InvalidDid(f"{name}: a list of at most {METHODS_MAX} is expected")
