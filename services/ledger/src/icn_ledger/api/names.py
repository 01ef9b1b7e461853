"""Resource names and page sizes as callers write them. A refusal is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import re

from icn_kit.errors import InvalidArgument
from icn_machine.contract_limits import KEY_BYTES_MAX
from icn_machine.limits import DIGEST_BYTES, IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.records import VALIDATORS_IDENTIFIER, Namespace

_NAME_CHARACTERS_MAX = 80
"""The longest name is ``transactions/`` and 64 hex digits, or ``memberships/`` and twice 32."""
EPOCH_BYTES = 8
SEAT_BYTES = 8
_PARTS = re.compile(r"([a-z-]{1,16})/([0-9a-f]{1,64})\Z")
_PAIR = re.compile(r"([a-z-]{1,16})/([0-9a-f]{32})/([0-9a-f]{32})\Z")
_DUTY = re.compile(r"duties/([0-9a-f]{32})/(0|[1-9][0-9]{0,18})\Z")
_EQUIVOCATION = re.compile(r"equivocations/(0|[1-9][0-9]{0,18})/(0|[1-9][0-9]?)\Z")
_ENTRY = re.compile(rf"contracts/([0-9a-f]{{32}})/((?:[0-9a-f]{{2}}){{1,{KEY_BYTES_MAX}}})\Z")
_HEIGHT = re.compile(r"blocks/(0|[1-9][0-9]{0,18})\Z")

VALIDATORS = "validators/zone"
"""The one leaf that says who validates."""

_PROVABLE: dict[str, tuple[Namespace, int]] = {
    "principals": (Namespace.CONTROLLER, IDENTIFIER_BYTES),
    "units": (Namespace.UNIT, IDENTIFIER_BYTES),
    "accounts": (Namespace.ACCOUNT, IDENTIFIER_BYTES),
    "holds": (Namespace.HOLD, IDENTIFIER_BYTES),
    "anchors": (Namespace.ANCHOR, DIGEST_BYTES),
    "allowances": (Namespace.ALLOWANCE, IDENTIFIER_BYTES),
    "recoveries": (Namespace.RECOVERY, IDENTIFIER_BYTES),
    "authorities": (Namespace.AUTHORITY, IDENTIFIER_BYTES),
    "polls": (Namespace.POLL, IDENTIFIER_BYTES),
    "decisions": (Namespace.DECISION, DIGEST_BYTES),
    "codes": (Namespace.CODE, DIGEST_BYTES),
    "contracts": (Namespace.CONTRACT, IDENTIFIER_BYTES),
    "consensus-keys": (Namespace.CONSENSUS_KEY, DIGEST_BYTES),
    "unit-policies": (Namespace.UNIT_POLICY, IDENTIFIER_BYTES),
    "orders": (Namespace.ORDER, IDENTIFIER_BYTES),
    "periods": (Namespace.PERIOD, IDENTIFIER_BYTES),
}
_PAIRED: dict[str, Namespace] = {
    "memberships": Namespace.MEMBERSHIP,
    "ballots": Namespace.BALLOT,
    "credit-lines": Namespace.CREDIT_LINE,
}


def _malformed(name: str, expected: str) -> InvalidArgument:
    return InvalidArgument("MALFORMED_NAME", f"expected {expected}", name=name[:_NAME_CHARACTERS_MAX])


def parse_identifier(name: str, collection: str, length_bytes: int = IDENTIFIER_BYTES) -> bytes:
    """The identifier in ``collection/<hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _PARTS.match(name)
    if match is None or match[1] != collection or len(match[2]) != 2 * length_bytes:
        raise _malformed(name, f"{collection}/ and {2 * length_bytes} lower-case hex digits")
    return bytes.fromhex(match[2])


def parse_pair(name: str, collection: str) -> tuple[bytes, bytes]:
    """The two identifiers in ``collection/<32 hex>/<32 hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _PAIR.match(name)
    if match is None or match[1] != collection:
        raise _malformed(name, f"{collection}/ and twice 32 lower-case hex digits with a slash between")
    return bytes.fromhex(match[2]), bytes.fromhex(match[3])


def parse_provable(name: str) -> tuple[Namespace, bytes]:
    """Namespace and identifier of a leaf, such as ``accounts/<32 hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    collection = name.partition("/")[0]
    if collection in _PAIRED:
        first, second = parse_pair(name, collection)
        return _PAIRED[collection], first + second
    if name == VALIDATORS:
        return Namespace.VALIDATORS, VALIDATORS_IDENTIFIER
    if collection == "duties":
        return Namespace.DUTY, _parse_duty(name)
    if collection == "equivocations":
        return Namespace.EQUIVOCATION, _parse_equivocation(name)
    if collection == "contracts" and (entry := _ENTRY.match(name)) is not None:
        return Namespace.CONTRACT_ENTRY, bytes.fromhex(entry[1]) + bytes.fromhex(entry[2])
    if collection not in _PROVABLE:
        known = [*_PROVABLE, *_PAIRED, "duties", "equivocations", "validators"]
        raise _malformed(name, f"one of {', '.join(known)}, a slash and lower-case hex digits")
    namespace, length_bytes = _PROVABLE[collection]
    return namespace, parse_identifier(name, collection, length_bytes)


def _parse_duty(name: str) -> bytes:
    match = _DUTY.match(name)
    if match is None or int(match[2]) > QUANTITY_MAX:
        raise _malformed(
            name, "duties/, 32 lower-case hex digits, a slash and an epoch without leading zeros"
        )
    return bytes.fromhex(match[1]) + int(match[2]).to_bytes(EPOCH_BYTES, "big")


def _parse_equivocation(name: str) -> bytes:
    match = _EQUIVOCATION.match(name)
    if match is None or int(match[1]) > QUANTITY_MAX:
        raise _malformed(name, "equivocations/, an epoch, a slash and a seat, without leading zeros")
    return int(match[1]).to_bytes(EPOCH_BYTES, "big") + int(match[2]).to_bytes(SEAT_BYTES, "big")


def parse_height(name: str) -> int:
    """The height in ``blocks/<height>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _HEIGHT.match(name)
    if match is None or int(match[1]) > QUANTITY_MAX:
        raise _malformed(name, "blocks/ and a height without leading zeros")
    return int(match[1])
