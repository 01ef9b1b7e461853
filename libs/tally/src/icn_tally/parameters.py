"""Reading the parameters of a rule from an object that comes from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from icn_tally.ballots import CANDIDATES_MAX, Ballots
from icn_tally.faults import InvalidBallots, InvalidParameter


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


def claim(form: Mapping[str, object], name: str) -> bool:
    """True or false; false when absent.

    Raises:
        InvalidParameter: something else.
    """
    value = form.get(name, False)
    if not isinstance(value, bool):
        raise InvalidParameter(name, "true or false is expected")
    return value


def numbers(form: Mapping[str, object], name: str) -> tuple[int, ...]:
    """Numbers of candidates, each once and upwards; none when absent.

    Raises:
        InvalidParameter: something else.
    """
    value = form.get(name, [])
    if not isinstance(value, list) or any(type(number) is not int for number in value):
        raise InvalidParameter(name, "a list of candidates' numbers is expected")
    if len(value) > CANDIDATES_MAX:
        raise InvalidParameter(name, f"{len(value)} numbers; there are up to {CANDIDATES_MAX} candidates")
    return tuple(sorted(set(value)))


def check_seats(rule: str, seats: int, ballots: Ballots, standing_max: int = CANDIDATES_MAX) -> None:
    """Pass when the rule counts for so many candidates, and can elect so many of those that stand.

    Raises:
        InvalidBallots: more stand than ``standing_max``.
        InvalidParameter: fewer stand than there are seats.
    """
    standing = len(ballots.standing())
    if standing > standing_max:
        raise InvalidBallots(f"{standing} candidates; {rule} counts for up to {standing_max}")
    if seats > standing:
        raise InvalidParameter("seats", f"{seats} seats for {standing} candidates")


def of_candidates(found: tuple[int, ...], name: str, ballots: Ballots) -> tuple[int, ...]:
    """The same numbers.

    Raises:
        InvalidParameter: one is no candidate's.
    """
    for number in found:
        if not 1 <= number <= len(ballots.candidates):
            raise InvalidParameter(name, f"there is no candidate {number}")
    return found
