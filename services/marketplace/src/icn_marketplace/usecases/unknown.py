"""Refusals of what is not there, and the check that an id is one."""

from __future__ import annotations

from typing import TypeVar

from icn_kit.errors import NotFound

T = TypeVar("T")


def found(value: T | None, kind: str, identifier: bytes) -> T:
    """The value.

    Raises:
        NotFound: ``<KIND>_UNKNOWN``.
    """
    if value is None:
        raise NotFound(f"{kind.upper()}_UNKNOWN", f"no {kind} {identifier.hex()}", name=identifier.hex())
    return value
