"""What ``icn ledger verify-proof`` does with the object in a file, for every kind.

Members it does not know (such as ``desc`` and ``wantErr`` of published vectors) are left alone.
Source: docs/spec/cryptography.md, "Files".
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from icn_crypto import ics23, merkle_log
from icn_crypto.lines import (
    InvalidMember,
    as_object,
    base64_bytes,
    base64_member,
    hex_member,
    integer_member,
    text_member,
)

PROOF_HASHES_MAX: Final = 1_024
"""No proof about 2^64 leaves has more than 128; a longer list is refused by its count all the same."""

ProofVerdict: TypeAlias = dict[str, bool | str]
"""``valid`` and ``reason``; the reason is empty when valid."""


def verify_proof(kind: str, form: object) -> ProofVerdict:
    """``{"valid","reason"}`` for the object of one file.

    Raises:
        InvalidMember: a member is missing or of another type.
        KeyError: a kind that is not one of ``KINDS``.
    """
    fault = _FAULTS[kind](as_object(form))
    return {"valid": fault is None, "reason": fault or ""}


def _inclusion(form: Mapping[str, object]) -> str | None:
    return merkle_log.inclusion_fault(
        leaf_index=integer_member(form, "leafIdx"),
        size=integer_member(form, "treeSize"),
        leaf=base64_member(form, "leafHash"),
        proof=_proof(form),
        root=base64_member(form, "root"),
    )


def _subtree_inclusion(form: Mapping[str, object]) -> str | None:
    return merkle_log.subtree_inclusion_fault(
        leaf_index=integer_member(form, "leafIdx"),
        start=integer_member(form, "start"),
        end=integer_member(form, "end"),
        leaf=base64_member(form, "leafHash"),
        proof=_proof(form),
        root=base64_member(form, "root"),
    )


def _consistency(form: Mapping[str, object]) -> str | None:
    return merkle_log.consistency_fault(
        size_1=integer_member(form, "size1"),
        size_2=integer_member(form, "size2"),
        root_1=base64_member(form, "root1"),
        root_2=base64_member(form, "root2"),
        proof=_proof(form),
    )


def _subtree_consistency(form: Mapping[str, object]) -> str | None:
    return merkle_log.subtree_consistency_fault(
        start=integer_member(form, "start"),
        end=integer_member(form, "end"),
        size=integer_member(form, "size"),
        root_1=base64_member(form, "root1"),
        root_2=base64_member(form, "root2"),
        proof=_proof(form),
    )


def _ics23(form: Mapping[str, object]) -> str | None:
    name = text_member(form, "spec")
    if name not in ics23.SPECS:
        raise InvalidMember("spec", f"one of {', '.join(ics23.SPECS)} is expected")
    value = hex_member(form, "value", default="")
    _, reason = ics23.verify(
        root=hex_member(form, "root"),
        proof=hex_member(form, "proof"),
        key=hex_member(form, "key"),
        value=value or None,
        spec=ics23.SPECS[name],
    )
    return reason or None


def _proof(form: Mapping[str, object]) -> list[bytes]:
    """A list of hashes in base64; none for null, as some writers have it."""
    value = form.get("proof")
    if value is None:
        value = []
    if not isinstance(value, list) or len(value) > PROOF_HASHES_MAX:
        raise InvalidMember("proof", f"a list of at most {PROOF_HASHES_MAX} hashes is expected")
    return [base64_bytes(element, "proof") for element in value]


_FAULTS: Final = {
    "inclusion": _inclusion,
    "consistency": _consistency,
    "subtree-inclusion": _subtree_inclusion,
    "subtree-consistency": _subtree_consistency,
    "ics23": _ics23,
}

KINDS: Final = tuple(_FAULTS)
"""Values of ``--kind``."""
