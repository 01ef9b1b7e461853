"""Reader for the ordinal formats of PrefLib: soc, soi, toc, toi.

Source: docs/spec/voting.md, "Files"; https://preflib.github.io/PrefLib-Jekyll/format.
"""

from __future__ import annotations

import re
from typing import Final

from icn_tally.ballots import (
    BALLOTS_MAX,
    CANDIDATES_MAX,
    WEIGHT_MAX,
    Ballots,
    Ranking,
    name_fault,
    ranking_fault,
)
from icn_tally.contest import Contest, checked_weight, lines_of, shown, text_of, whole_number
from icn_tally.faults import InvalidFile

FORMATS: Final = ("soc", "soi", "toc", "toi")

_NAME: Final = re.compile(r"ALTERNATIVE NAME ([0-9]{1,9})")
_RANK: Final = re.compile(r"\s*(?:([0-9]{1,9})|\{([0-9,\s]+)\})\s*(,|$)")


def read_preflib(content: bytes, kind: str) -> Contest:
    """Read a file of one of ``FORMATS``.

    Raises:
        InvalidFile: with the line and the reason.
    """
    assert kind in FORMATS, "callers offer these formats only"
    return _Reader(kind).read(lines_of(content))


class _Reader:
    """Goes through the lines once; ``self.at`` is the number of the line at hand."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.at = 0
        self.facts: dict[str, tuple[int, str]] = {}
        """What the head says, by key, with the line."""
        self.names: dict[int, str] = {}
        self.candidates: tuple[str, ...] = ()
        self.rankings: list[Ranking] = []
        self.weights: list[int] = []

    def read(self, lines: list[bytes]) -> Contest:
        is_head = True
        for at, line in enumerate(lines, start=1):
            self.at = at
            text = text_of(line, at)
            if not text:
                continue
            if text.startswith("#"):
                if not is_head:
                    raise self._fault("a line of the head after the first ballot")
                self._read_fact(text)
                continue
            if is_head:
                is_head = False
                self._end_head()
            self._read_order(text)
        if is_head:
            self._end_head()
        self._check_amounts()
        title = self.facts.get("TITLE", (0, ""))[1]
        return Contest(Ballots(self.candidates, self.rankings, self.weights), title)

    def _fault(self, fault: str) -> InvalidFile:
        return InvalidFile(self.at, fault)

    def _read_fact(self, text: str) -> None:
        key, colon, value = text[1:].partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            raise self._fault("a line of the head is # KEY: value")
        if key in self.facts:
            raise self._fault(f"{shown(key)} stands twice")
        self.facts[key] = self.at, value
        if named := _NAME.fullmatch(key):
            number = int(named[1])
            if number > CANDIDATES_MAX:
                raise self._fault(f"alternative {number}; there can be 1 to {CANDIDATES_MAX}")
            if fault := name_fault(value):
                raise self._fault(fault)
            if number in self.names:
                raise self._fault(f"alternative {number} is named twice")
            self.names[number] = value

    def _end_head(self) -> None:
        line, text = self.facts.get("NUMBER ALTERNATIVES", (self.at, ""))
        if not text:
            raise self._fault("the head lacks NUMBER ALTERNATIVES")
        amount = whole_number(text, line, "NUMBER ALTERNATIVES")
        if not 1 <= amount <= CANDIDATES_MAX:
            raise InvalidFile(line, f"{amount} alternatives; there can be 1 to {CANDIDATES_MAX}")
        for number in range(1, amount + 1):
            if number not in self.names:
                raise InvalidFile(line, f"{amount} alternatives, but number {number} has no name")
        if len(self.names) > amount:
            raise InvalidFile(line, f"{amount} alternatives, but {len(self.names)} have names")
        line, kind = self.facts.get("DATA TYPE", (self.at, self.kind))
        if kind != self.kind:
            raise InvalidFile(line, f"DATA TYPE is {shown(kind)}, but the file is read as {self.kind}")
        self.candidates = tuple(self.names[number] for number in range(1, amount + 1))

    def _read_order(self, text: str) -> None:
        count, colon, order = text.partition(":")
        if not colon:
            raise self._fault("a ballot is weight: order")
        weight = checked_weight(whole_number(count.strip(), self.at, "weight"), self.at)
        ranking = self._read_ranks(order)
        if fault := ranking_fault(ranking, len(self.candidates)):
            raise self._fault(fault)
        if self.kind in ("soc", "soi") and any(len(rank) > 1 for rank in ranking):
            raise self._fault(f"{self.kind} has no equal ranks")
        ranked = sum(map(len, ranking))
        if self.kind in ("soc", "toc") and ranked < len(self.candidates):
            raise self._fault(f"{self.kind} ranks every alternative, this {ranked} of {len(self.candidates)}")
        self.rankings.append(ranking)
        self.weights.append(weight)

    def _read_ranks(self, order: str) -> Ranking:
        ranks: list[tuple[int, ...]] = []
        start = 0
        order = order.strip()
        has_more = bool(order)
        while has_more:
            found = _RANK.match(order, start)
            if found is None:
                raise self._fault(f"an alternative or {{…}} is expected at {shown(order[start:])}")
            if found[1] is not None:
                ranks.append((int(found[1]),))
            else:
                words = [word.strip() for word in found[2].split(",")]
                numbers = [whole_number(word, self.at, "an alternative in braces") for word in words]
                ranks.append(tuple(sorted(numbers)))
            start = found.end()
            has_more = found[3] == ","
        return tuple(ranks)

    def _check_amounts(self) -> None:
        if not self.rankings:
            raise self._fault("there is no ballot")
        if len(self.rankings) > BALLOTS_MAX:
            raise self._fault(f"more than {BALLOTS_MAX} lines of ballots")
        total = sum(self.weights)
        if total > WEIGHT_MAX:
            raise self._fault(f"all weights together are more than {WEIGHT_MAX}")
        for key, counted in (("NUMBER VOTERS", total), ("NUMBER UNIQUE ORDERS", len(self.rankings))):
            if key in self.facts:
                line, text = self.facts[key]
                if whole_number(text, line, key) != counted:
                    raise InvalidFile(line, f"{key} is {shown(text)}, but the ballots come to {counted}")
