"""A campaign of bad frames of every kind at the door of a real driver (`scripts/bad_input.py`, a short one in
the unit tests): nothing breaks, no queue passes its bound, and the peer that sends them is blamed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from icn.consensus.v1 import peer_pb2
from icn_consensus.domain.actions import MessageKind
from icn_consensus.domain.ports import Crypto
from icn_consensus.peers.frames import MalformedFrame, parse_frames, request_bytes
from icn_consensus.usecases import admission, fetching, traces
from icn_consensus.usecases.driver import Driver
from icn_consensus.usecases.inbox import PEER_EVENTS_MAX
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.recover import recover
from icn_kit.clock import SystemClock
from icn_sim.mutations import MUTATIONS

from services.consensus.tests.unit.fakes import FakeLease, FakePeers, FakeRecordLog, FakeSnapshots, FakeStore
from services.consensus.tests.unit.test_recover import CONFIG, Application

PEER = b"l" * 32


class DeafRecordLog(FakeRecordLog):
    """Takes everything."""

    def append(self, payload: bytes, epoch: int, view: int) -> None:
        pass

    def sync(self) -> None:
        pass


class CountingPeers(FakePeers):
    """Counts the faults that the driver finds; what is sent is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = 0

    def note_fault(self, peer: bytes) -> None:
        assert peer == PEER
        self.faults += 1

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        pass

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        pass


def frames_of_every_kind(random: Random) -> list[peer_pb2.PeerFrame]:
    asked = peer_pb2.FetchRequest
    return [
        peer_pb2.PeerFrame(hello=peer_pb2.Hello(genesis_hash=bytes(32), public_key=PEER, nonce=bytes(32))),
        peer_pb2.PeerFrame(proposal=random.randbytes(300)),
        peer_pb2.PeerFrame(vote=random.randbytes(150)),
        peer_pb2.PeerFrame(certificate=random.randbytes(300)),
        peer_pb2.PeerFrame(recovery=random.randbytes(300)),
        peer_pb2.PeerFrame(
            transactions=peer_pb2.TransactionBatch(transactions=[random.randbytes(200)] * random.randrange(4))
        ),
        peer_pb2.PeerFrame(
            transactions=peer_pb2.TransactionBatch(transactions=[b""] * random.randrange(0, 1_100, 100))
        ),
        peer_pb2.PeerFrame(fetch_request=asked(request=1, block_hash=random.randbytes(32))),
        peer_pb2.PeerFrame(fetch_request=asked(request=2, final_from_height=random.getrandbits(64))),
        peer_pb2.PeerFrame(fetch_request=asked(request=3, certificates_from_view=random.getrandbits(64))),
        peer_pb2.PeerFrame(
            fetch_response=peer_pb2.FetchResponse(request=1, blocks=[b"b"] * 3, certificates=[b"c"] * 64)
        ),
        peer_pb2.PeerFrame(
            traces=peer_pb2.TraceBatch(
                traces=[
                    peer_pb2.TransactionTrace(
                        digest=random.randbytes(32), traceparent=f"00-{'4b' * 16}-{'00f0' * 4}-01"
                    )
                ]
                * 3
            )
        ),
    ]


def play(seed: int, cases: int) -> Counter[tuple[str, str]]:
    """So many bad frames; outcomes by kind of frame and verdict."""
    return asyncio.run(knock(seed, cases))


async def knock(seed: int, cases: int) -> Counter[tuple[str, str]]:
    """The same, where a loop runs."""
    random, outcomes = Random(seed), Counter[tuple[str, str]]()
    crypto = SimpleNamespace(verify=lambda items: [False] * len(items), sign=lambda _tag, _body: bytes(64))
    driver = Driver(
        CONFIG,
        cast("Crypto", crypto),
        Application(),
        FakeStore(),
        DeafRecordLog(),
        lease=FakeLease(),
        evidence=SimpleNamespace(),  # type: ignore[arg-type]
        snapshots=FakeSnapshots(),
        pool=Pool(),
        clock=SystemClock(),
        recovered=await recover(CONFIG, Application(), FakeStore(), []),
    )
    tasks: list[asyncio.Task[None]] = []

    def guard(work: Any, name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work, name=name))
        return tasks[-1]

    peers = CountingPeers()
    driver.begin(peers, lambda _seat, _height: None, guard)
    for number in range(cases):
        original = random.choice(frames_of_every_kind(random))
        mutate = random.choice(MUTATIONS)
        try:
            parsed = parse_frames(mutate(random, request_bytes(original)))
        except MalformedFrame:
            outcomes[mutate.__name__, "MALFORMED_FRAME"] += 1
            continue
        for frame in parsed:
            driver.on_frame(PEER, frame)
            outcomes[mutate.__name__, f"{frame.WhichOneof('kind')} taken in"] += 1
        assert len(driver._inbox) <= 2 * PEER_EVENTS_MAX
        assert driver.admission._by_peer.get(PEER, admission._Load()).transactions <= 4_000
        assert len(driver._answering._waiting.get(PEER, ())) <= fetching.WAITING_PER_PEER_MAX
        assert len(driver._traces) <= traces.TRACES_MAX
        if number % 20 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in tasks), "the driver goes on"
    assert peers.faults > cases // 20
    await driver.drain(0.1)
    return outcomes
