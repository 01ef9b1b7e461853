"""CPU of a validator per transfer, before it is executed: parsing, rules, pool, proposals.

``python benches/checking_path.py [--transfers N] [--rounds N]``. Production path beside a state in memory.
Every signature is taken for verified, so that only what is around verification is measured. Each transfer has
another sender and one signature; figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from icn_chain.block import transactions_root
from icn_consensus.domain.actions import Branch
from icn_consensus.peers.application import LocalApplication
from icn_consensus.usecases.admission import Admission
from icn_consensus.usecases.ends import Ends, News, SubmitState
from icn_consensus.usecases.pool import Pool
from icn_crypto.ed25519 import Verdict
from icn_crypto.native import accelerator
from icn_crypto.suites import SignedItem
from icn_kit.genesis import Genesis
from icn_kit.lifecycle import collect_seldom
from icn_ledger.api.application_service import ApplicationServicer
from icn_machine.blocks.execute_block import Executor
from icn_machine.blocks.run_block import read_transactions
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView
from icn_sim.memory_state import MemoryState

from benches.ledger.chain import Chain, first_commit, halted, make_parties
from libs.machine.tests.zone import make_zone

BLOCK_BYTES_MAX = 1_048_576
UNLIMITED = 1_000_000


class CachedState(MemoryState):
    """Answers validity at the price of a look into a dictionary, as the store mostly does."""

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        records = self.records_at(height)
        controllers, allowances = records.controllers, records.allowances
        return ValidityView(
            {name: controllers.get(name) for name in names.controllers},
            {name: allowances.get(name) for name in names.allowances},
        )


class Listener:
    """A client that keeps what it is told."""

    is_closed = False

    def __init__(self, count: int) -> None:
        self.news: list[News] = []
        self.count = count
        self.has_all = asyncio.Event()

    def tell(self, news: News) -> None:
        self.news.append(news)
        if len(self.news) == self.count:
            self.has_all.set()

    def fail(self, error: Exception) -> None:
        raise error


async def take_for_verified(items: Sequence[SignedItem]) -> list[Verdict]:
    return [Verdict.VALID] * len(items)


class Validator:
    """What one validator knows of the transactions of a round."""

    def __init__(self, genesis: Genesis, state: MemoryState) -> None:
        self.cache = TransactionCache(genesis.hash, verify=take_for_verified)
        executor = Executor(genesis, state, self.cache, lambda _: None, halted)
        absent = cast(Any, None)  # no snapshot is asked for
        service = ApplicationServicer(genesis, state, executor, self, snapshots=absent, restorer=absent)
        self.application = LocalApplication(lambda: service)
        self.pool = Pool()
        self.ends = Ends()
        self.state = state
        self.branch = Branch(state.newest.height, ())
        self.time_ms = state.newest.time_ms + 100

    def now_ms(self) -> int:
        return self.time_ms

    async def admit(self, transactions: Sequence[bytes]) -> None:
        """Take a client's transactions through the pool's door."""
        listener = Listener(len(transactions))
        admission = Admission(
            self.application,
            self.pool,
            self.ends,
            executed_height=lambda: self.state.newest.height,
            on_admitted=lambda _clients, _peers: None,
        )
        await admission.submit(transactions, listener, 0)
        running = asyncio.create_task(admission.run())
        await listener.has_all.wait()
        running.cancel()
        assert {news.state for news in listener.news} == {SubmitState.PENDING}, listener.news[0]

    async def prepare(self) -> list[bytes]:
        """What a leader proposes of its pool."""
        candidates = self.pool.candidates((), transactions_max=UNLIMITED, size_bytes_max=UNLIMITED)
        choice = await self.application.prepare(
            self.branch,
            0,
            self.time_ms,
            [item.data for item in candidates],
            size_bytes_max=BLOCK_BYTES_MAX,
            transactions_max=UNLIMITED,
        )
        return [candidates[index].data for index in choice.chosen]

    async def validate(self, block_hash: bytes, transactions: Sequence[bytes]) -> None:
        """Judge a proposal."""
        reason = await self.application.validate(
            block_hash, self.branch, 0, self.time_ms, transactions, recovery=b""
        )
        assert not reason, reason


class Stages:
    """CPU time of this process by stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self._seconds[stage].append(time.process_time() - started)

    def print(self, transfers: int) -> None:
        for stage, seconds in self._seconds.items():
            print(f"  {stage:<48} {statistics.median(seconds) / transfers * 1e6:6.1f}")


async def measure(chain: Chain, options: argparse.Namespace) -> None:
    stages = Stages()
    genesis, parties = chain.zone.genesis, chain.parties
    state = cast(MemoryState, chain.state)
    collect_seldom()
    for number in range(options.rounds):
        transactions = [
            party.transfer(
                parties[index - number - 1].account,
                1 + index,
                sha256(party.account).digest(),
                state.newest.time_ms,
            )
            for index, party in enumerate(parties)
        ]
        leader, voter, other = (Validator(genesis, state) for _ in range(3))
        await voter.admit(transactions)
        with stages.measured("door: CheckTransactions, admission"):
            await leader.admit(transactions)
        with stages.measured("leader: PrepareBlock"):
            chosen = await leader.prepare()
        assert chosen == transactions
        with stages.measured("leader: ValidateBlock of its own proposal"):
            await leader.validate(bytes(32), chosen)
        with stages.measured("voter: ValidateBlock, in its pool"):
            await voter.validate(bytes(32), transactions)
        with stages.measured("voter: ValidateBlock, never seen"):
            await other.validate(bytes(32), transactions)
        with stages.measured("root of transactions (twice: proposal, execution)"):
            transactions_root(transactions)
        with stages.measured("reading once more, to execute"):
            await read_transactions(transactions, voter.cache)
        await chain.execute(chain.block(transactions))
    print(f"{options.transfers} transfers, {'wheels only' if accelerator is None else 'native'}, CPU-µs each")
    stages.print(options.transfers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    zone = make_zone()
    parties = make_parties(zone, options.transfers)
    asyncio.run(measure(Chain(zone, parties, CachedState(first_commit(zone, parties))), options))


if __name__ == "__main__":
    main()
