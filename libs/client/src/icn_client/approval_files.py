"""Files of approval ballots in YAML, as the abcvoting library writes them.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import yaml
from icn_tally.ballots import BALLOTS_MAX, CANDIDATES_MAX, Ballots, ranked_ballots
from icn_tally.contest import DIGITS_MAX, shown
from icn_tally.faults import InvalidFile, InvalidParameter
from icn_tally.parameters import refuse_unknown

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
    refuse_unknown(document, KNOWN)
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
        numbers = [_whole(candidate, candidates - 1) for candidate in ballot]
        if None in numbers:
            raise InvalidParameter(f"profile[{place}]", f"candidates go from 0 to {candidates - 1}")
        if len(set(numbers)) < len(numbers):
            raise InvalidParameter(f"profile[{place}]", "a candidate stands twice")
        bundles.append(([[number + 1 for number in numbers if number is not None]] if numbers else [], 1))
    return ranked_ballots([str(place) for place in range(candidates)], bundles), size


def _document(content: bytes) -> dict[str, Any]:
    """The outermost object, every scalar in it as it is written: ballots need nothing of what tags and types
    of YAML make of one. Event by event, for a tree of nodes takes thirty times the file."""
    if len(content) > FILE_BYTES_MAX:
        raise InvalidFile(1, f"{len(content)} bytes; up to {FILE_BYTES_MAX} are read")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(content.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    events = yaml.parse(content, yaml.CBaseLoader)
    try:
        *_, begun = islice(events, 3)  # of the stream and of the document before
        if not isinstance(begun, yaml.MappingStartEvent):
            raise InvalidFile(1, "an object with profile and num_cand is expected")
        found: dict[str, Any] = _value(begun, events)
        *_, ended = islice(events, 2)
        if not isinstance(ended, yaml.StreamEndEvent):
            raise InvalidFile(ended.start_mark.line + 1, "one document is expected")
    except yaml.MarkedYAMLError as error:
        last = content.count(b"\n")  # a fault at the end has the mark of a line that is not there
        line = min(error.problem_mark.line, last) + 1 if error.problem_mark else 1
        raise InvalidFile(line, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidFile(1, f"not YAML: {ascii(str(error))[1:100]}") from None
    return found


def _value(begun: Any, events: Iterator[Any]) -> Any:
    """What an event and those that follow say: a text, a list or an object."""
    if isinstance(begun, yaml.ScalarEvent):
        return begun.value
    if isinstance(begun, yaml.SequenceStartEvent):
        entries: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            entries.append(_value(event, events))
        return entries
    line = begun.start_mark.line + 1
    if not isinstance(begun, yaml.MappingStartEvent):
        raise InvalidFile(line, "an alias is not read; write out what it stands for")
    members: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        name = _value(event, events)
        if not isinstance(name, str) or name in members:
            raise InvalidFile(event.start_mark.line + 1, f"{shown(str(name))} is no name, or stands twice")
        members[name] = _value(next(events), events)
    return members


def _number(document: dict[str, Any], name: str, low: int, high: int) -> int:
    value = _whole(document.get(name), high)
    if value is None or value < low:
        raise InvalidParameter(name, f"a whole number from {low} to {high} is expected")
    return value


def _whole(scalar: Any, high: int) -> int | None:
    """The whole number that is written, up to ``high``; None for anything else."""
    if not (isinstance(scalar, str) and scalar.isascii() and scalar.isdigit() and len(scalar) <= DIGITS_MAX):
        return None
    return number if (number := int(scalar)) <= high else None
