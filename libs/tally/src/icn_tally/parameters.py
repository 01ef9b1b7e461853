"""Reading the parameters of a rule from an object that comes from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from icn_tally.faults import InvalidParameter


def refuse_unknown(form: Mapping[str, object], known: Collection[str]) -> None:
    """Pass when every member is known.

    Raises:
        InvalidParameter: one is not.
    """
    for name in form:
        if name not in known:
            raise InvalidParameter(str(name)[:40], f"unknown; there are {', '.join(known)}")


def integer(form: Mapping[str, object], name: str, *, low: int, high: int, default: int | None = None) -> int:
    """A whole number within limits.

    Raises:
        InvalidParameter: missing without a default, of another type or out of limits.
    """
    value = form.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidParameter(name, f"a whole number from {low} to {high} is expected")
    return value


def choice(form: Mapping[str, object], name: str, choices: Collection[str], default: str) -> str:
    """One of several words.

    Raises:
        InvalidParameter: another.
    """
    value = form.get(name, default)
    if not isinstance(value, str) or value not in choices:
        raise InvalidParameter(name, f"one of {', '.join(choices)} is expected")
    return value
