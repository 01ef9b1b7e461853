"""JSON as contracts exchange it: no floats, no member twice, a bounded depth; the same on every machine.

Source: RFC 8259; docs/spec/vm.md, "JSON".
"""

import json
import re
from itertools import accumulate
from typing import Any, Final, NoReturn

from icn_wasm.limits import JSON_DEPTH_MAX

_INTEGER_DIGITS_MAX: Final = 20
"""Digits of the largest 64-bit number; larger ones stand in strings."""
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string, or what may be the beginning of one up to the end of the text. It never gives back what it
took: one that nothing ends is gone through once, not once more for each quotation mark inside it."""
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEPS.keys())


class NotContractJson(ValueError):
    """The text is not JSON, or JSON that nodes could read differently."""


def parse(text: bytes) -> Any:
    """The value of a text in UTF-8. Raises NotContractJson."""
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX:
        _check_depth(text)
    try:
        value = _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotContractJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotContractJson(f"not JSON at character {error.pos}") from None
    try:
        encode(value)
    except UnicodeEncodeError:
        raise NotContractJson("half of a surrogate pair") from None
    return value


def encode(value: Any) -> bytes:
    """The shortest text of a value, members in their order."""
    return _ENCODER.encode(value).encode("utf-8")


def _check_depth(text: bytes) -> None:
    brackets = _STRING.sub(b"", text).translate(None, delete=_NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > JSON_DEPTH_MAX:
        raise NotContractJson(f"more than {JSON_DEPTH_MAX} arrays and objects inside each other")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotContractJson("a member stands twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX or not -(1 << 63) <= int(digits) < 1 << 64:
        raise NotContractJson("a number beyond 64 bits; write it as a string")
    return int(digits)


def _refuse_number(_text: str) -> NoReturn:
    raise NotContractJson("a number that is no integer; write it as a string")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_refuse_number,
    parse_constant=_refuse_number,
)
_ENCODER: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)
