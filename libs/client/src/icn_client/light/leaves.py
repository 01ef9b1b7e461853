"""Leaves of the state tree, read: which there are, and what one says.

Source: docs/spec/transaction.md, "Leaves and namespaces"; docs/spec/proof.md, "The statement".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

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
from icn_machine.records import Namespace

VALUE_BYTES_MAX: Final = 66_560
"""The largest is an entry of a contract's storage: 65,536 bytes and who pays for it."""


class _Leaf(NamedTuple):
    """How the leaves of a namespace are read."""

    message: type[ProtobufMessage]
    identifier_bytes: tuple[int, int]
    """Fewest and most."""
    identifier_fields: tuple[str, ...] = ()
    """Which together are the identifier, dotted inside of another message; none where the leaf does not
    repeat it."""


_BYTES_0, _BYTES_16, _BYTES_32 = (0, 0), (16, 16), (32, 32)

NAMESPACES: Final[Mapping[int, _Leaf]] = {
    Namespace.CONTROLLER: _Leaf(ControllerLeaf, _BYTES_16, ("principal",)),
    Namespace.UNIT: _Leaf(UnitLeaf, _BYTES_16, ("unit",)),
    Namespace.ACCOUNT: _Leaf(AccountLeaf, _BYTES_16, ("account",)),
    Namespace.HOLD: _Leaf(HoldLeaf, _BYTES_16, ("hold",)),
    Namespace.ANCHOR: _Leaf(AnchorLeaf, _BYTES_32, ("digest",)),
    Namespace.ALLOWANCE: _Leaf(AllowanceLeaf, _BYTES_16, ("organization",)),
    Namespace.ZONE: _Leaf(ZoneLeaf, _BYTES_0),
    Namespace.RECOVERY: _Leaf(RecoveryLeaf, _BYTES_16, ("principal",)),
    Namespace.AUTHORITY: _Leaf(AuthorityLeaf, _BYTES_16, ("authority",)),
    Namespace.MEMBERSHIP: _Leaf(MembershipLeaf, _BYTES_32, ("organization", "member")),
    Namespace.POLL: _Leaf(PollLeaf, _BYTES_16, ("poll",)),
    Namespace.BALLOT: _Leaf(BallotLeaf, _BYTES_32, ("poll", "voter")),
    Namespace.DECISION: _Leaf(DecisionLeaf, _BYTES_32),
    Namespace.CODE: _Leaf(CodeLeaf, _BYTES_32),
    Namespace.CONTRACT: _Leaf(ContractLeaf, _BYTES_16, ("contract",)),
    Namespace.CONTRACT_ENTRY: _Leaf(ContractEntryLeaf, (17, 1_040)),
    Namespace.DUTY: _Leaf(DutyLeaf, (24, 24), ("organization", "epoch")),
    Namespace.EQUIVOCATION: _Leaf(EquivocationLeaf, _BYTES_16, ("epoch", "seat")),
    Namespace.VALIDATORS: _Leaf(ValidatorsLeaf, _BYTES_0),
    Namespace.CONSENSUS_KEY: _Leaf(ConsensusKeyLeaf, _BYTES_32),
    Namespace.UNIT_POLICY: _Leaf(UnitPolicyLeaf, _BYTES_16),
    Namespace.CREDIT_LINE: _Leaf(CreditLineLeaf, _BYTES_32),
    Namespace.TRADE: _Leaf(TradeLeaf, (48, 48)),
    Namespace.ORDER: _Leaf(StandingOrderLeaf, _BYTES_16, ("ordered.order",)),
    Namespace.PERIOD: _Leaf(PeriodLeaf, _BYTES_16),
}
"""Leaves by namespace (docs/spec/transaction.md, "Leaves and namespaces")."""


def read_statement(namespace: int, identifier: bytes, value: bytes) -> dict[str, Any]:
    """What a leaf says: ids in hex, amounts as decimal strings; an empty value says that there is none.

    Raises:
        ProofInvalid: LEAF_MISMATCH or PROOF_MALFORMED.
    """
    rule, kind = NAMESPACES[namespace], Namespace(namespace).name.lower()
    if not value:
        return {"kind": kind, "id": identifier.hex(), "is_absent": True}
    try:
        leaf = parse(rule.message, value, VALUE_BYTES_MAX)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    if rule.identifier_fields and _identifier(leaf, rule.identifier_fields) != identifier:
        raise ProofInvalid("LEAF_MISMATCH", f"the {kind} in the proof is another than its identifier says")
    named = {"id": identifier.hex()} if identifier and not rule.identifier_fields else {}
    return {"kind": kind, **named, **describe(leaf)}


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
