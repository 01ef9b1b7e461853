"""Data Integrity proofs: single proofs, sets and chains over a JSON document.

Source: W3C Verifiable Credential Data Integrity 1.0; Data Integrity EdDSA Cryptosuites 1.0; Quantum-Safe
Cryptosuites 0.3 (draft). What we take from the drafts: docs/spec/credentials.md, "Suites".
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icn_crypto import ed25519, jcs, mldsa
from icn_crypto.jcs import JsonValue, NotIJson

from icn_credentials import json_forms, multibase, times
from icn_credentials.documents import VerificationMethod
from icn_credentials.faults import CredentialFault, InvalidProof
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import ML_DSA_KINDS, KeyKind, PublicKey

PROOFS_MAX: Final = 32
"""Proofs of one document: sixteen keys with two suites."""
CLOCK_TOLERANCE_MS: Final = 300_000
"""How far ahead of the verifier's clock a proof may say it was made."""

ASSERTION: Final = "assertionMethod"
Resolve = Callable[[str, str], VerificationMethod]
"""From the id of a verification method and a purpose to the key; raises a CredentialFault."""
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Suite:
    """A cryptosuite: how a document becomes bytes, how they are hashed, and whose keys sign."""

    name: str
    key_kind: KeyKind
    hash_name: str
    is_rdf: bool = False
    proof_type: str = "DataIntegrityProof"
    value_base: multibase.Base = multibase.BASE58BTC

    def digest(self, content: bytes) -> bytes:
        """Hash of canonical bytes."""
        return hashlib.new(self.hash_name, content).digest()


SUITES: Final[Mapping[str, Suite]] = {
    suite.name: suite
    for suite in (
        Suite("eddsa-jcs-2022", KeyKind.ED25519, "sha256"),
        Suite("eddsa-rdfc-2022", KeyKind.ED25519, "sha256", is_rdf=True),
        Suite("mldsa44-jcs-2024", KeyKind.ML_DSA_44, "sha256", value_base=multibase.BASE64URL),
        Suite("mldsa65-jcs-2024", KeyKind.ML_DSA_65, "sha384", value_base=multibase.BASE64URL),
        Suite("mldsa87-jcs-2024", KeyKind.ML_DSA_87, "sha512", value_base=multibase.BASE64URL),
    )
}
EDDSA_JCS: Final = SUITES["eddsa-jcs-2022"]
MLDSA65_JCS: Final = SUITES["mldsa65-jcs-2024"]
_LEGACY: Final = Suite(
    "Ed25519Signature2020", KeyKind.ED25519, "sha256", is_rdf=True, proof_type="Ed25519Signature2020"
)
"""From before cryptosuites: its type is its name. Verified, never made."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a verifier asks of every proof."""

    resolve: Resolve
    now_ms: int
    purpose: str = ASSERTION


@dataclass(frozen=True, slots=True)
class ProofVerdict:
    """What became of one proof."""

    suite: str
    verification_method: str
    controller: str
    """Whose document authorizes the key; empty where the proof does not hold."""
    purpose: str
    is_valid: bool
    reason: str
    """Empty when valid."""


def proofs_of(document: Mapping[str, JsonValue]) -> list[JsonObject]:
    """The proofs of a document.

    Raises:
        InvalidProof: there is none, or too many.
    """
    if "proof" not in document:
        raise InvalidProof("the document has no proof")
    proofs = json_forms.objects(document["proof"], "proof", InvalidProof, PROOFS_MAX)
    if not proofs:
        raise InvalidProof("the document has no proof")
    return proofs


def verify(document: JsonObject, terms: Terms) -> list[ProofVerdict]:
    """The verdict of each proof of a set or chain, in their order; the document holds only if all do.

    Raises:
        InvalidProof: there is none, too many, or two of one id.
    """
    proofs = proofs_of(document)
    identified = [str(proof["id"]) for proof in proofs if "id" in proof]
    if len(set(identified)) != len(identified):
        raise InvalidProof("two proofs have one id")
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    return [_verdict(unsecured, proof, proofs, terms) for proof in proofs]


def _verdict(
    unsecured: JsonObject, proof: JsonObject, proofs: Sequence[JsonObject], terms: Terms
) -> ProofVerdict:
    named = {
        name: value if isinstance(value := proof.get(name), str) else ""
        for name in ("type", "cryptosuite", "verificationMethod", "proofPurpose")
    }
    suite_name = named["cryptosuite"] or named["type"]
    controller, reason = "", ""
    try:
        controller = _check(unsecured, proof, proofs, terms)
    except CredentialFault as fault:
        reason = str(fault)
    return ProofVerdict(
        suite_name, named["verificationMethod"], controller, named["proofPurpose"], not reason, reason
    )


def _check(unsecured: JsonObject, proof: JsonObject, proofs: Sequence[JsonObject], terms: Terms) -> str:
    """The controller of the key whose signature holds. Raises CredentialFault."""
    suite = suite_of(proof)
    if json_forms.text(proof, "proofPurpose", InvalidProof) != terms.purpose:
        found = str(proof["proofPurpose"])[:80]
        raise InvalidProof(f"the proof is for {found!r}, {terms.purpose} is asked for")
    _check_times(proof, terms.now_ms)
    method = terms.resolve(json_forms.text(proof, "verificationMethod", InvalidProof), terms.purpose)
    if method.key.kind is not suite.key_kind:
        raise InvalidProof(f"{suite.name} is for keys of {suite.key_kind.name}, not {method.key.kind.name}")
    base, signature = multibase.decode(json_forms.text(proof, "proofValue", InvalidProof))
    if base is not suite.value_base:
        raise InvalidProof(f"proofValue of {suite.name} is written in {suite.value_base.name}")
    secured = with_previous(unsecured, proof, proofs)
    content = signed_bytes(suite, secured, {name: proof[name] for name in proof if name != "proofValue"})
    if not _holds(method.key, content, signature):
        raise InvalidProof("the signature does not hold for this document and proof")
    return method.controller


def suite_of(proof: JsonObject) -> Suite:
    """The suite that a proof names.

    Raises:
        InvalidProof: an unknown one.
    """
    kind = json_forms.text(proof, "type", InvalidProof)
    if kind == _LEGACY.proof_type and "cryptosuite" not in proof:
        return _LEGACY
    if kind != "DataIntegrityProof":
        raise InvalidProof(f"proofs of type {kind[:80]!r} are not verified")
    name = json_forms.text(proof, "cryptosuite", InvalidProof)
    if name not in SUITES:
        raise InvalidProof(f"cryptosuite {name[:80]!r} is not known")
    return SUITES[name]


def _check_times(proof: JsonObject, now_ms: int) -> None:
    if "created" in proof:
        created_ms = times.read(proof["created"], "created", InvalidProof)
        if created_ms > now_ms + CLOCK_TOLERANCE_MS:
            raise InvalidProof(f"the proof says it is made at {proof['created']}, which is ahead")
    if "expires" in proof and times.read(proof["expires"], "expires", InvalidProof) <= now_ms:
        raise InvalidProof(f"the proof expired at {proof['expires']}")


def with_previous(unsecured: JsonObject, proof: JsonObject, proofs: Sequence[JsonObject]) -> JsonObject:
    """The document as a proof of a chain signs it: with the proofs it follows.

    Raises:
        InvalidProof: it follows one that is not there, itself, or a circle.
    """
    if "previousProof" not in proof:
        return unsecured
    named = json_forms.texts(proof["previousProof"], "previousProof", InvalidProof, PROOFS_MAX)
    by_id = {str(other["id"]): other for other in proofs if isinstance(other.get("id"), str)}
    found: list[JsonValue] = []
    for name in named:
        if name not in by_id:
            raise InvalidProof(f"previousProof {name[:120]!r} is not in the document")
        found.append(by_id[name])
    _check_order(proof, by_id)
    return {**unsecured, "proof": found}


def _check_order(proof: JsonObject, by_id: Mapping[str, JsonObject]) -> None:
    """Refuse a chain that comes back to a proof."""
    left, seen = [proof], set[str]()
    own = proof.get("id")
    while left:
        for name in json_forms.texts(left.pop().get("previousProof", []), "previousProof", InvalidProof):
            if name == own:
                raise InvalidProof("the chain of proofs is a circle")
            if name in by_id and name not in seen:
                seen.add(name)
                left.append(by_id[name])


def signed_bytes(suite: Suite, document: JsonObject, options: JsonObject) -> bytes:
    """What is signed: the hash of the proof's options, then the hash of the document.

    Args:
        document: without the proof that is made or checked; with earlier ones of its chain.
        options: the proof without ``proofValue``.

    Raises:
        InvalidProof: the proof's contexts are not the document's first, or there is no canonical form.
    """
    if suite.is_rdf:
        from icn_credentials import rdf

        options = {**options, "@context": document.get("@context", [])}
        return suite.digest(rdf.canonicalize(options)) + suite.digest(rdf.canonicalize(document))
    if "@context" in document and suite.key_kind in ML_DSA_KINDS:
        # The drafts hash the contexts with the options, whether the proof repeats them or not.
        options = {"@context": document["@context"], **options}
    if "@context" in options:
        _check_contexts(document.get("@context"), options["@context"])
        document = {**document, "@context": options["@context"]}
    try:
        return suite.digest(jcs.canonicalize(options)) + suite.digest(jcs.canonicalize(document))
    except NotIJson as error:
        raise InvalidProof(f"no canonical form: {error}") from None


def _check_contexts(documents: JsonValue, proofs: JsonValue) -> None:
    """The document's contexts begin with the proof's (EdDSA Cryptosuites 1.0, section 3.3.2)."""
    of_document = documents if isinstance(documents, list) else [documents]
    of_proof = proofs if isinstance(proofs, list) else [proofs]
    if of_document[: len(of_proof)] != of_proof:
        raise InvalidProof("the document's contexts do not begin with the proof's")
    if len(of_document) != len(of_proof):
        # The specification lets contexts be added after signing. They would change what members mean without
        # changing a signed byte, so we ask for the same ones.
        raise InvalidProof("the document has contexts that the proof does not cover")


def _holds(key: PublicKey, content: bytes, signature: bytes) -> bool:
    if key.kind is KeyKind.ED25519:
        return ed25519.verdict(key.content, content, signature) is not ed25519.Verdict.INVALID
    return mldsa.verify(ML_DSA_KINDS[key.kind], key.content, content, signature)


def add_proof(
    document: JsonObject,
    suite: Suite,
    sign: Sign,
    *,
    verification_method: str,
    created_ms: int | None,
    purpose: str = ASSERTION,
    proof_id: str | None = None,
    previous: Sequence[str] = (),
) -> JsonObject:
    """The document with one more proof, which joins its set or follows earlier proofs of its chain.

    Raises:
        InvalidProof: there is no canonical form, or an earlier proof is not there.
    """
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    earlier = json_forms.objects(document.get("proof", []), "proof", InvalidProof, PROOFS_MAX - 1)
    options: JsonObject = {"type": suite.proof_type, "cryptosuite": suite.name}
    if proof_id is not None:
        options["id"] = proof_id
    if created_ms is not None:
        options["created"] = times.write(created_ms)
    options |= {"verificationMethod": verification_method, "proofPurpose": purpose}
    if "@context" in document and not suite.is_rdf:
        options["@context"] = document["@context"]
    if previous:
        options["previousProof"] = list(previous) if len(previous) > 1 else previous[0]
    content = signed_bytes(suite, with_previous(unsecured, options, earlier), options)
    proof: JsonObject = {**options, "proofValue": multibase.encode(suite.value_base, sign(content))}
    proofs: list[JsonValue] = [*earlier, proof]
    return {**unsecured, "proof": proofs if len(proofs) > 1 else proof}
