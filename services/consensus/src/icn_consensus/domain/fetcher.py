"""Requests for what is missing: one at a time per thing, from one peer after the other, then a pause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates, FetchFinalBlocks

What = FetchBlock | FetchFinalBlocks | FetchCertificates

IN_FLIGHT_MAX: Final = 8
"""Answers hold up to 3 MiB each."""
RETRY_MS: Final = 250
"""Pause after every peer failed to answer; a round trip between continents fits."""
WANTED_MAX: Final = 256
"""Things waited for at once; older ones are forgotten and asked for anew when still needed."""


@dataclass(slots=True)
class _Wanted:
    not_before_ms: int
    peers: list[bytes] = field(default_factory=list)
    """Still to be asked, in this order."""
    named: set[bytes] = field(default_factory=set)
    """Those, and who was asked before them in this round."""
    request: int | None = None


class Fetcher:
    """What is wanted, from whom, and when it may be asked for."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key
        self._next_request = 1
        self._wanted: dict[What, _Wanted] = {}
        self._in_flight: dict[int, What] = {}

    def need(self, what: What, peers: Iterable[bytes], now_ms: int, patience_ms: int = 0) -> Fetch | None:
        """Say that this is missing; gives the request to send now, if any.

        Whoever is named while others are asked is asked after them: what one reason to fetch something names
        may all be gone, and what another names have it.

        ``patience_ms``: how long it may still arrive by itself before it is asked for.
        """
        wanted = self._wanted.get(what)
        if wanted is None:
            if len(self._wanted) >= WANTED_MAX:
                self._forget(next(iter(self._wanted)))
            wanted = self._wanted[what] = _Wanted(now_ms + patience_ms)
        if wanted.request is None and not wanted.peers:
            wanted.named.clear()  # all were asked: from the beginning
        fresh = [peer for peer in dict.fromkeys(peers) if peer not in wanted.named | {self._public_key}]
        wanted.peers += fresh
        wanted.named.update(fresh)
        if wanted.request is not None or now_ms < wanted.not_before_ms:
            return None
        return self._ask(what, wanted)

    def answered(self, request: int) -> What | None:
        """What this request asked for; None when it was answered before or nobody asked."""
        what = self._in_flight.pop(request, None)
        if what is not None:
            self._wanted[what].request = None
        return what

    def satisfied(self, what: What) -> None:
        """It is here (or no longer needed)."""
        self._forget(what)

    def unsatisfied(self, what: What, now_ms: int) -> Fetch | None:
        """The peer asked did not help; gives the request to the next one, or pauses when there is none."""
        wanted = self._wanted.get(what)
        if wanted is None or wanted.request is not None:
            return None
        if not wanted.peers:
            wanted.not_before_ms = now_ms + RETRY_MS
            return None
        return self._ask(what, wanted)

    def next_retry_ms(self, now_ms: int) -> int | None:
        """When something wanted may next be asked for."""
        times = [wanted.not_before_ms for wanted in self._wanted.values() if wanted.request is None]
        return min((time for time in times if time > now_ms), default=None) if times else None

    def _ask(self, what: What, wanted: _Wanted) -> Fetch | None:
        if not wanted.peers or len(self._in_flight) >= IN_FLIGHT_MAX:
            return None
        request = self._next_request
        self._next_request += 1
        wanted.request = request
        self._in_flight[request] = what
        return Fetch(request, wanted.peers.pop(0), what)

    def _forget(self, what: What) -> None:
        wanted = self._wanted.pop(what, None)
        if wanted is not None and wanted.request is not None:
            del self._in_flight[wanted.request]
