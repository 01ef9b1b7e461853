"""Traces of sampled transactions on their way from a client's call to the block that includes them.

They travel beside the transactions and are part of nothing that is signed, hashed or stored: what is lost or
made up here costs a line in a log. Source: docs/spec/events.md, "Traces".
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from icn_kit.trace import parse_traceparent

TRACES_MAX: Final = 4_096
"""As many as a block holds by the default limits; the oldest go first."""
TRACES_PER_FRAME_MAX: Final = 1_000
"""As the proto says (peer.proto)."""
TRACES_PER_SECOND_MAX: Final = 200
"""Taken from clients. More would tell nobody more, and each goes to every validator."""


class TraceBook:
    """Digest of a transaction's bytes → traceparent."""

    def __init__(self) -> None:
        self._traceparents: OrderedDict[bytes, str] = OrderedDict()
        self._second = 0
        self._taken = 0

    def note(self, transaction: bytes, traceparent: str) -> bytes | None:
        """Remember a client's transaction; its digest, or None when this second has had its share."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken >= TRACES_PER_SECOND_MAX:
            return None
        self._taken += 1
        digest = sha256(transaction).digest()
        self._put(digest, traceparent)
        return digest

    def note_told(self, traces: Sequence[Any]) -> None:
        """Remember what a peer told (TransactionTrace); what is no sampled trace is passed over."""
        for trace in traces[:TRACES_PER_FRAME_MAX]:
            if len(trace.digest) == sha256().digest_size and parse_traceparent(trace.traceparent).is_sampled:
                self._put(trace.digest, trace.traceparent)

    def take(self, transactions: Iterable[bytes]) -> tuple[tuple[int, str], ...]:
        """Position and traceparent of those that have one; they are forgotten."""
        if not self._traceparents:
            return ()
        found = []
        for index, transaction in enumerate(transactions):
            traceparent = self._traceparents.pop(sha256(transaction).digest(), None)
            if traceparent is not None:
                found.append((index, traceparent))
        return tuple(found)

    def __len__(self) -> int:
        return len(self._traceparents)

    def _put(self, digest: bytes, traceparent: str) -> None:
        self._traceparents[digest] = traceparent
        if len(self._traceparents) > TRACES_MAX:
            self._traceparents.popitem(last=False)
