"""Leaves of the state tree, read: which there are, and what one says.

Source: docs/spec/transaction.md, "Leaves and namespaces"; docs/spec/proof.md, "The statement".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from google.protobuf.message import Message as ProtobufMessage
from icn.ledger.v1.state_pb2 import (
    AccountLeaf,
    AllowanceLeaf,
    AnchorLeaf,
    AuthorityLeaf,
    BallotLeaf,
    CodeLeaf,
    ConsensusKeyLeaf,
    ContractEntryLeaf,
    ContractLeaf,
    ControllerLeaf,
    CreditLineLeaf,
    DecisionLeaf,
    DutyLeaf,
    EquivocationLeaf,
    HoldLeaf,
    MembershipLeaf,
    PeriodLeaf,
    PollLeaf,
    RecoveryLeaf,
    StandingOrderLeaf,
    TradeLeaf,
    UnitLeaf,
    UnitPolicyLeaf,
    ValidatorsLeaf,
    ZoneLeaf,
)
from icn_chain.epochs import ProofInvalid
from icn_chain.malformed import MalformedMessage, parse

from icn_client.light.proof_file import VALUE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class _Namespace:
    kind: str
    leaf: type[ProtobufMessage]
    identifier_fields: tuple[str, ...]
    """Which together are the identifier, dotted inside of another message; none where the leaf does not
    repeat it."""


NAMESPACES: Final[Mapping[int, _Namespace]] = {
    1: _Namespace("controller", ControllerLeaf, ("principal",)),
    2: _Namespace("unit", UnitLeaf, ("unit",)),
    3: _Namespace("account", AccountLeaf, ("account",)),
    4: _Namespace("hold", HoldLeaf, ("hold",)),
    5: _Namespace("anchor", AnchorLeaf, ("digest",)),
    6: _Namespace("allowance", AllowanceLeaf, ("organization",)),
    7: _Namespace("zone", ZoneLeaf, ()),
    8: _Namespace("recovery", RecoveryLeaf, ("principal",)),
    9: _Namespace("authority", AuthorityLeaf, ("authority",)),
    10: _Namespace("membership", MembershipLeaf, ("organization", "member")),
    11: _Namespace("poll", PollLeaf, ("poll",)),
    12: _Namespace("ballot", BallotLeaf, ("poll", "voter")),
    13: _Namespace("decision", DecisionLeaf, ()),
    14: _Namespace("code", CodeLeaf, ()),
    15: _Namespace("contract", ContractLeaf, ("contract",)),
    16: _Namespace("contract_entry", ContractEntryLeaf, ()),
    17: _Namespace("duty", DutyLeaf, ("organization", "epoch")),
    18: _Namespace("equivocation", EquivocationLeaf, ("epoch", "seat")),
    19: _Namespace("validators", ValidatorsLeaf, ()),
    20: _Namespace("consensus_key", ConsensusKeyLeaf, ()),
    21: _Namespace("unit_policy", UnitPolicyLeaf, ()),
    22: _Namespace("credit_line", CreditLineLeaf, ()),
    23: _Namespace("trade", TradeLeaf, ()),
    24: _Namespace("order", StandingOrderLeaf, ("ordered.order",)),
    25: _Namespace("period", PeriodLeaf, ()),
}
"""Leaves by namespace (docs/spec/transaction.md, "Leaves and namespaces")."""


def read_statement(namespace: int, identifier: bytes, value: bytes) -> dict[str, Any]:
    """What a leaf says: ids in hex, amounts as decimal strings; an empty value says that there is none.

    Raises:
        ProofInvalid: LEAF_MISMATCH or PROOF_MALFORMED.
    """
    rule = NAMESPACES[namespace]
    if not value:
        return {"kind": rule.kind, "id": identifier.hex(), "is_absent": True}
    try:
        leaf = parse(rule.leaf, value, VALUE_BYTES_MAX)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    if rule.identifier_fields and _identifier(leaf, rule.identifier_fields) != identifier:
        raise ProofInvalid(
            "LEAF_MISMATCH", f"the {rule.kind} in the proof is another than its identifier says"
        )
    named = {"id": identifier.hex()} if identifier and not rule.identifier_fields else {}
    return {"kind": rule.kind, **named, **describe(leaf)}


def _identifier(leaf: ProtobufMessage, fields: Sequence[str]) -> bytes:
    values = (attrgetter(field)(leaf) for field in fields)
    return b"".join(value if isinstance(value, bytes) else value.to_bytes(8, "big") for value in values)


def describe(message: ProtobufMessage) -> dict[str, Any]:
    """Every field of a message for people and programs: bytes in hex, amounts, times and counts of 64 bits as
    decimal strings, enumerations by their name in lower case, smaller numbers as they are.
    """
    described: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            described[field.name] = [_describe_value(item) for item in value]
        elif field.message_type is not None and not message.HasField(field.name):
            described[field.name] = None
        elif field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            described[field.name] = str(value)
        elif field.enum_type is not None:
            described[field.name] = _enum_name(field.enum_type, value)
        else:
            described[field.name] = _describe_value(value)
    return described


def _enum_name(enum: Any, number: int) -> str | int:
    """``active`` for MEMBERSHIP_STATUS_ACTIVE; the number where the enumeration has no name for it."""
    named = enum.values_by_number.get(number)
    if named is None:
        return number
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    name: str = named.name.removeprefix(prefix)
    return name.lower()


def _describe_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return describe(value) if isinstance(value, ProtobufMessage) else value
