"""Questions for what is missing: who is asked what, who else when no answer comes, and who is asked last.

Source: docs/spec/consensus.md, "Who is asked".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates, FetchFinalBlocks

What = FetchBlock | FetchFinalBlocks | FetchCertificates

PATIENCE_MS_MIN: Final = 250
"""After which another is asked as well: a round trip between continents fits, and a pause of a collector."""
PATIENCE_MS_MAX: Final = 2_000
"""However slow the answers are: a page of 1 MiB over 5 Mbit/s."""
PAUSE_MS: Final = 250
"""After everybody was asked."""
ASKED_LAST_MS: Final = 10_000
"""How long who did not help is asked after all others: silence then costs one patience in that time."""
PEERS_MAX: Final = 128
"""Whose conduct is remembered: twice the seats that there can be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked of whom."""

    what: What
    peer: bytes
    asked_at_ms: int


@dataclass(slots=True)
class _Wanted:
    """Something missing, and the round of questions for it."""

    next_at_ms: int
    """When the next peer may be asked."""
    named: dict[bytes, None] = field(default_factory=dict)
    asked: set[bytes] = field(default_factory=set)
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class _Conduct:
    """How a peer answered."""

    last_request: int = 0
    last_until_ms: int = 0
    """Until when it is asked after the others."""


class Fetcher:
    """What is wanted, and who was asked for it. `need` is said again as long as something is missing."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key
        self._last_request = 0
        self._wanted: dict[What, _Wanted] = {}
        self._questions: dict[int, Question] = {}
        self._conduct: dict[bytes, _Conduct] = {}
        self._patience_ms = PATIENCE_MS_MIN

    def need(self, what: What, peers: Iterable[bytes], now_ms: int, delay_ms: int = 0) -> Fetch | None:
        """Say that this is missing and who may have it; gives the question to send now, if any.

        ``delay_ms``: how long it may still arrive by itself before it is asked for.
        """
        wanted = self._wanted.get(what)
        if wanted is None:
            wanted = self._wanted[what] = _Wanted(now_ms + delay_ms)
        wanted.is_needed = True
        wanted.named.update(dict.fromkeys(peers))
        if now_ms < wanted.next_at_ms:
            return None
        self._blame_silent(now_ms)
        left = wanted.named.keys() - wanted.asked - {self._public_key}
        if not left:
            if wanted.asked:
                self._wanted[what] = _Wanted(now_ms + PAUSE_MS)
            return None
        busy = {question.peer for question in self._questions.values() if type(question.what) is type(what)}
        free = [peer for peer in wanted.named if peer in left - busy]
        if not free:
            return None
        peer = min(free, key=lambda peer: self._rank(peer, now_ms))
        wanted.asked.add(peer)
        wanted.next_at_ms = now_ms + self._patience_ms
        return self._ask(what, peer, now_ms)

    def answered(self, request: int) -> Question | None:
        """What this request was about, once it was answered or is given up; None when nothing is known of it.

        Say then whether it `helped` or was `useless`.
        """
        return self._questions.pop(request, None)

    def helped(self, question: Question, now_ms: int) -> None:
        """What was asked for is here. Only the first answer counts for who gave it."""
        if self._wanted.pop(question.what, None) is None:
            return
        conduct = self._conduct.get(question.peer, _Conduct())
        self._note(question.peer, _Conduct(conduct.last_request))
        taken_ms = 2 * (now_ms - question.asked_at_ms)
        self._patience_ms = min(max(taken_ms, PATIENCE_MS_MIN), PATIENCE_MS_MAX)

    def useless(self, question: Question, now_ms: int) -> None:
        """The peer did not help: the next is asked at once, unless another's answer is out."""
        self._blame(question.peer, now_ms)
        wanted = self._wanted.get(question.what)
        is_out = any(other.what == question.what for other in self._questions.values())
        if wanted is not None and question.peer in wanted.asked and not is_out:
            wanted.next_at_ms = now_ms

    def forget_unneeded(self) -> None:
        """Let go of what was not said to be missing since this was called last."""
        self._wanted = {what: wanted for what, wanted in self._wanted.items() if wanted.is_needed}
        for wanted in self._wanted.values():
            wanted.is_needed = False

    def next_question_ms(self, now_ms: int) -> int | None:
        """When another may be asked for something wanted."""
        if not self._wanted:
            return None
        times = (wanted.next_at_ms for wanted in self._wanted.values())
        return min((time for time in times if time > now_ms), default=None)

    def _ask(self, what: What, peer: bytes, now_ms: int) -> Fetch:
        self._last_request += 1
        self._questions[self._last_request] = Question(what, peer, now_ms)
        conduct = self._conduct.get(peer, _Conduct())
        self._note(peer, _Conduct(self._last_request, conduct.last_until_ms))
        return Fetch(self._last_request, peer, what)

    def _rank(self, peer: bytes, now_ms: int) -> tuple[bool, int]:
        """The lowest is asked: not asked for the longest time; who did not help after all others."""
        conduct = self._conduct.get(peer, _Conduct())
        return conduct.last_until_ms > now_ms, conduct.last_request

    def _blame_silent(self, now_ms: int) -> None:
        for question in self._questions.values():
            if now_ms >= question.asked_at_ms + self._patience_ms:
                self._blame(question.peer, now_ms)

    def _blame(self, peer: bytes, now_ms: int) -> None:
        conduct = self._conduct.get(peer, _Conduct())
        self._note(peer, _Conduct(conduct.last_request, now_ms + ASKED_LAST_MS))

    def _note(self, peer: bytes, conduct: _Conduct) -> None:
        """Remember it; who was not asked for the longest time is forgotten first."""
        self._conduct.pop(peer, None)
        self._conduct[peer] = conduct
        if len(self._conduct) > PEERS_MAX:
            del self._conduct[next(iter(self._conduct))]
