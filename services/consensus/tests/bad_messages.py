"""A campaign of bad frames and messages against the production core, in a simulated federation that goes on.

What one seat makes of everybody's messages is refused or counts for nothing, nothing breaks, and the others
agree meanwhile (`scripts/bad_input.py`, and a short one in the unit tests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

from icn_chain.certificate import CERTIFICATE_BYTES_MAX
from icn_consensus.domain import actions as act
from icn_consensus.domain import events
from icn_consensus.domain.block import VOTE_BYTES_MAX
from icn_consensus.peers import frames
from icn_sim.mutations import MUTATIONS
from icn_sim.node import Node
from icn_sim.world import Conditions, Network

LIAR: Final = 3
"""Whose stream the bad messages come on. It also does its own work, so that what it sends is in season."""
REMEMBERED_MAX: Final = 200
"""Messages that mutations start from: the newest, since old ones are dropped unread."""
CASES_PER_TICK: Final = 4
TICK_MS: Final = 2
RECENT: Final = 5
TRANSACTIONS_MS: Final = 20
HUGE_BYTES: Final = 64 * 1024 * 1024


class Wrong(AssertionError):
    """A bad message was not treated as it must be."""


Message = tuple[act.MessageKind, bytes]
_EVENTS: Final[dict[str, Callable[[bytes, bytes], events.Event]]] = {
    "vote": events.VoteReceived,
    "certificate": events.CertificateReceived,
    "proposal": events.ProposalReceived,
}


class Campaign:
    """Four seats, of which one sends changed messages beside its own."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.seen: list[Message] = []
        self.known: set[tuple[str, bytes]] = set()
        self.cases = 0
        campaign = self

        class Overheard(Node):
            """A seat whose messages are noted."""

            def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
                campaign.note(kind, data)
                super().transmit(other, kind, data)

        self.network = Network(4, seed, Conditions(), node_class=Overheard)
        self.network.faulty.add(LIAR)
        self.network.start()

    def note(self, kind: act.MessageKind, data: bytes) -> None:
        """A message was sent."""
        if (kind.value, data) not in self.known:
            self.known.add((kind.value, data))
            self.seen.append((kind, data))
            del self.seen[:-REMEMBERED_MAX]

    def run(self, cases: int) -> None:
        """Let time pass until so many bad messages were sent, and let the federation show that it goes on."""
        network = self.network

        def feed() -> None:
            network.submit(b"transaction at %d" % network.now_ms)
            network.schedule(TRANSACTIONS_MS, feed)

        def garble() -> None:
            for _ in range(CASES_PER_TICK):
                if self.seen and self.cases < cases:
                    self.cases += 1
                    self.send_one(network.nodes[self.random.randrange(LIAR)])
            if self.cases < cases:
                network.schedule(TICK_MS, garble)

        feed()
        garble()
        before = -1
        while self.cases < cases:
            network.run_for(1_000)
            height = min(network.heights())
            if height <= before:
                raise Wrong(f"no block in a second after height {height}")
            before = height
        network.run_for(1_000)
        if min(network.heights()) <= before:
            raise Wrong("the federation does not go on")

    def send_one(self, node: Node) -> None:
        """One bad frame or message to an honest seat."""
        draw = self.random
        kind, data = draw.choice(self.seen[-RECENT:] if draw.random() < 0.7 else self.seen)
        mutate = draw.choice(MUTATIONS)
        special = draw.random()
        if special < 0.1:
            name, frame = f"frame {mutate.__name__}", mutate(draw, frames.message_frame(kind, data))
        elif special < 0.15:
            name, frame = self._odd_frame(kind, data)
        elif special < 0.2:
            name, frame = "replayed", frames.message_frame(kind, data)
        elif special < 0.25:
            name, frame = "as another kind", frames.message_frame(draw.choice(list(act.MessageKind)), data)
        else:
            name, frame = mutate.__name__, frames.message_frame(kind, mutate(draw, data))
        try:
            parsed = frames.parse_frames(frame)
        except frames.MalformedFrame:
            self.outcomes[name, "MALFORMED_FRAME"] += 1
            return
        for verdict in {self._look(node, name, one): None for one in parsed}:
            self.outcomes[name, verdict] += 1

    def _odd_frame(self, kind: act.MessageKind, data: bytes) -> tuple[str, bytes]:
        draw = self.random
        size = {
            act.MessageKind.VOTE: VOTE_BYTES_MAX,
            act.MessageKind.CERTIFICATE: CERTIFICATE_BYTES_MAX,
            act.MessageKind.PROPOSAL: 1_048_576 + 256,
        }[kind]
        choice = draw.randrange(6)
        if choice == 0:
            return "message at its limit", frames.message_frame(kind, data.ljust(size, b"\0"))
        if choice == 1:
            return "message one byte over", frames.message_frame(kind, data.ljust(size + 1, b"\0"))
        if choice == 2:
            overhead = len(frames.message_frame(kind, bytes(4_000_000))) - 4_000_000
            excess = draw.randrange(2)
            content = bytes(frames.FRAME_BYTES_MAX - overhead + excess)
            name = "frame one byte over" if excess else "frame at its limit"
            return name, frames.message_frame(kind, content)
        if choice == 3:
            count = frames.FRAMES_MAX + draw.randrange(2)
            few = frames.message_frame(act.MessageKind.VOTE, b"v")
            return f"{count} frames", frames.joined([few] * count)
        if choice == 4 and draw.random() < 0.02:
            return "64 MiB", bytes(HUGE_BYTES)
        return "empty frames", frames.message_frame(kind, data) + b"\x12\x00" * draw.randrange(1, 5_000)

    def _look(self, node: Node, name: str, frame: Any) -> str:
        """Hand a frame to the core as the driver does; what became of it."""
        kind = frame.WhichOneof("kind")
        make = _EVENTS.get(kind)
        if make is None:
            return f"a {kind}, not for the core"
        data: bytes = getattr(frame, kind)
        is_same = (kind, data) in self.known
        was_held = self._is_held(node, data)
        verified, told = node.crypto.verified, len(node.reports)
        node.handle(make(self.network.nodes[LIAR].public_key, data))
        kinds = [report.kind for report in node.reports[told:]]
        reports = [
            report for report in node.reports[told:] if report.kind is act.ReportKind.DISHONEST_MESSAGE
        ]
        del node.reports[:]
        if reports and ":" in reports[0].detail and node.crypto.verified != verified:
            raise Wrong(f"{name}: a signature was verified for malformed bytes: {data.hex()}")
        if reports and is_same and not self._is_in_anothers_name(reports[0]):
            raise Wrong(f"{name}: {reports[0].detail}, which an honest seat sent: {data.hex()}")
        if not is_same and not was_held and self._is_held(node, data):
            raise Wrong(f"{name} is taken for good: {data.hex()}")
        if act.ReportKind.EQUIVOCATION in kinds:
            raise Wrong(f"{name}: equivocation proven by what nobody signed: {data.hex()}")
        if reports:
            return "DISHONEST_MESSAGE"
        return "as the original" if is_same else "counts for nothing"

    @staticmethod
    def _is_in_anothers_name(report: act.Report) -> bool:
        """Votes and proposals of other seats, passed on by the liar, are honest bytes from the wrong seat."""
        return " of seat " in report.detail

    @staticmethod
    def _is_held(node: Node, data: bytes) -> bool:
        """Whether the core took a changed certificate or proposal as valid."""
        state = node.replica._state
        if data in (item.data for item in state.finalizations.values()):
            return True
        return any(
            data in (item.data for item in view.certificates.values())
            or (view.proposal is not None and view.proposal.data == data)
            for view in state.views.values()
        )


def play(seed: int, cases: int) -> Counter[tuple[str, str]]:
    """So many bad messages; outcomes by kind and verdict.

    Raises:
        Wrong, PromiseBroken: one was not treated as it must be, or the others no longer agree.
    """
    campaign = Campaign(seed)
    campaign.run(cases)
    return campaign.outcomes
