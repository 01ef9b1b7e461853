"""Files of approval ballots in YAML, as the abcvoting library writes them.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

from typing import Any, Final

import yaml
from icn_tally.ballots import BALLOTS_MAX, CANDIDATES_MAX, Ballots, ranked_ballots
from icn_tally.faults import InvalidFile, InvalidParameter

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
KNOWN: Final = ("description", "profile", "num_cand", "committeesize", "compute")


def read_approvals(content: bytes) -> tuple[Ballots, int | None]:
    """The ballots of a file, and how many members it says that a committee has; candidates are named by their
    places, from 0.

    Raises:
        InvalidFile: not YAML.
        InvalidParameter: a member is missing, unknown or out of form.
    """
    document = _document(content)
    if not isinstance(document, dict):
        raise InvalidFile(1, "an object with profile and num_cand is expected")
    for name in document:
        if name not in KNOWN:
            raise InvalidParameter(str(name)[:40], f"unknown; there are {', '.join(KNOWN)}")
    candidates = _number(document, "num_cand", 1, CANDIDATES_MAX)
    size = _number(document, "committeesize", 1, candidates) if "committeesize" in document else None
    profile = document.get("profile")
    if not isinstance(profile, list) or not 1 <= len(profile) <= BALLOTS_MAX:
        raise InvalidParameter("profile", f"a list of 1 to {BALLOTS_MAX} ballots is expected")
    bundles: list[tuple[list[list[int]], int]] = []
    for place, ballot in enumerate(profile):
        if not isinstance(ballot, list) or len(ballot) > candidates:
            raise InvalidParameter(
                f"profile[{place}]", f"a list of up to {candidates} candidates is expected"
            )
        for candidate in ballot:
            if type(candidate) is not int or not 0 <= candidate < candidates:
                raise InvalidParameter(f"profile[{place}]", f"candidates go from 0 to {candidates - 1}")
        if len(set(ballot)) < len(ballot):
            raise InvalidParameter(f"profile[{place}]", "a candidate stands twice")
        bundles.append(([[candidate + 1 for candidate in ballot]] if ballot else [], 1))
    return ranked_ballots([str(place) for place in range(candidates)], bundles), size


def _document(content: bytes) -> Any:
    if len(content) > FILE_BYTES_MAX:
        raise InvalidFile(1, f"{len(content)} bytes; up to {FILE_BYTES_MAX} are read")
    try:
        return yaml.load(content, yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InvalidFile(mark.line + 1 if mark else 1, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError, UnicodeError) as error:
        raise InvalidFile(1, f"not YAML: {str(error)[:100]}") from None


def _number(document: dict[Any, Any], name: str, low: int, high: int) -> int:
    value = document.get(name)
    if type(value) is not int or not low <= value <= high:
        raise InvalidParameter(name, f"a whole number from {low} to {high} is expected")
    return value
