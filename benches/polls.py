"""What a poll costs: counting, recounting a ballot, a countersignature. `.venv/bin/python benches/polls.py`.

CPU time, since the machines these run on are shared.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from functools import partial

from icn.ledger.v1.state_pb2 import BallotLeaf, ControllerLeaf
from icn_client.decisions import countersign, is_countersigned
from icn_client.governance import election_draft, plain_draft
from icn_client.transactions import KeyPair, controller_key
from icn_tally.polls.commitments import Opening, ballot_bytes
from icn_tally.polls.documents import Draft, PollDocument
from icn_tally.polls.results import count_poll

VOTERS = 10_000
ROUNDS = 5
GENESIS, POLL = bytes(32), bytes(16)


def main() -> None:
    """Print one line per figure."""
    chance = random.Random(1)
    names = [f"Candidate {number}" for number in range(1, 65)]
    yes_no = plain_draft(bytes(16), "A", "B", VOTERS)
    election = election_draft(bytes(16), "A", "B", names, 12)
    for what, draft, choose in (
        ("yes and no", yes_no, lambda: [[chance.randint(1, 3)]]),
        ("Scottish STV, 64 candidates, 12 seats", election, lambda: _ranking(chance)),
    ):
        document, leaves, openings = _poll(draft, choose)
        spent = _cpu_ms(partial(count_poll, document, leaves, openings, {}))
        print(
            f"result of {VOTERS:,} ballots, {what}: {spent:,.0f} CPU-ms, {spent * 1000 / VOTERS:.0f} µs each"
        )
    key = KeyPair.generate()
    leaf = ControllerLeaf(threshold=1, keys=[controller_key(key.public_keys)])
    signature = countersign(GENESIS, b"decision", bytes(16), key)
    made = _cpu_ms(lambda: [countersign(GENESIS, b"decision", bytes(16), key) for _ in range(100)]) * 10
    checked = (
        _cpu_ms(lambda: [is_countersigned(GENESIS, b"decision", signature, leaf) for _ in range(100)]) * 10
    )
    print(f"countersignature: made in {made:.0f} CPU-µs, checked in {checked:.0f} CPU-µs")


def _poll(
    draft: Draft, choose: Callable[[], list[list[int]]]
) -> tuple[PollDocument, list[BallotLeaf], list[Opening]]:
    document = PollDocument(GENESIS, POLL, draft, (), 1)
    openings = [
        Opening(number.to_bytes(16, "big"), number.to_bytes(32, "big"), ballot_bytes(choose()))
        for number in range(VOTERS)
    ]
    leaves = [
        BallotLeaf(poll=POLL, voter=one.voter, commitment=one.commitment(GENESIS, POLL)) for one in openings
    ]
    return document, leaves, openings


def _ranking(chance: random.Random) -> list[list[int]]:
    return [[number] for number in chance.sample(range(1, 65), chance.randint(1, 12))]


def _cpu_ms(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        spent.append((time.process_time() - started) * 1000)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
