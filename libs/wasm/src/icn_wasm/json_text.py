"""JSON as contracts exchange it: no floats, no member twice, a bounded depth; the same on every machine.

Source: RFC 8259; docs/spec/vm.md, "JSON".
"""

import json
import re
from typing import Any, Final, NoReturn

from icn_wasm.limits import JSON_DEPTH_MAX

_INTEGER_DIGITS_MAX: Final = 20
"""Digits of the largest 64-bit number; larger ones stand in strings."""
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NotContractJson(ValueError):
    """The text is not JSON, or JSON that nodes could read differently."""


def parse(text: bytes) -> Any:
    """The value of a text in UTF-8. Raises NotContractJson."""
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX:
        _check_depth(text)
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except UnicodeDecodeError as error:
        raise NotContractJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotContractJson(f"not JSON at character {error.pos}") from None
    _check_text(value)
    return value


def encode(value: Any) -> bytes:
    """The shortest text of a value, members in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _check_depth(text: bytes) -> None:
    depth = 0
    for found in _STRUCTURE.finditer(text):
        first = found.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                raise NotContractJson(f"more than {JSON_DEPTH_MAX} arrays and objects inside each other")
        elif first != b'"':
            depth -= 1


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise NotContractJson("half of a surrogate pair")
    elif isinstance(value, list):
        for element in value:
            _check_text(element)
    elif isinstance(value, dict):
        for name, element in value.items():
            _check_text(name)
            _check_text(element)


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
