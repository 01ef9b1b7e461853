"""Blocks of transfers, executed as a validator executes them: transfers a second and CPU-µs per transfer.

    python -m benches.ledger.apply [--blocks 16] [--transfers 1000] [--accounts 10000] [--profile]

prints where the CPU time of the process goes; `python -m benches.ledger` takes the figures. With the
accelerator where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import inspect
import pstats
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from icn_crypto.native import accelerator
from icn_crypto.state_tree import state_key
from icn_kit.lifecycle import collect_seldom
from icn_kit.writer import Writer
from icn_ledger.store import state as state_module
from icn_ledger.store.state import StateStore
from icn_localnet.postgres import PostgresServer
from icn_machine.blocks import execute_block, final_block
from icn_machine.touched import RecordNames

from benches.ledger.chain import Chain, new_database, open_chain, running_server
from benches.ledger.worker import Measure
from benches.processes import usage

ACCOUNTS: Final = 10_000
SMALL, LARGE = 1_000, 4_000
"""Transfers in a block; a block takes 4,000 transactions at most by the genesis of the tests."""
BLOCKS: Final = {SMALL: 8, LARGE: 2}
"""So many change more than 8,192 pages of the state tree together, so some of them write those."""

STAGES: Final[tuple[tuple[object, str, str], ...]] = (
    (execute_block, "read_transactions", "reading"),
    (execute_block, "run_block", "loading, executing"),
    (execute_block, "check_block", "invariants"),
    (execute_block, "encode_leaves", "leaves"),
    (execute_block, "update_tree", "state tree"),
    (execute_block, "encode_postings", "postings"),
    (execute_block, "encode_receipts", "receipts"),
    (execute_block, "receipts_root", "root of receipts"),
    (final_block, "root_of", "root of transactions"),
    (state_module, "block_statement", "parameters"),
    (Writer, "execute", "driver"),
    (StateStore, "_event_rows", "events"),
)
"""What is measured apart: functions and methods, by what they are to a reader."""


@asynccontextmanager
async def opened(accounts: int) -> AsyncIterator[tuple[Chain, PostgresServer]]:
    """A chain with a server of its own, in memory what a validator has there that has run for a while."""
    with running_server() as server:
        async with open_chain(new_database(server), accounts) as chain:
            names = RecordNames(
                controllers={party.member.principal for party in chain.parties},
                accounts={party.account for party in chain.parties},
            )
            await chain.state.load(names)
            await chain.state.load_pages(
                [state_key(namespace, name) for namespace, wanted in names.filled() for name in wanted]
            )
            collect_seldom()
            yield chain, server


@asynccontextmanager
async def measuring() -> AsyncIterator[Measure]:
    """Figures of blocks of both sizes."""
    async with opened(ACCOUNTS) as (chain, server):

        async def measure() -> dict[str, float]:
            figures = {}
            for transfers, blocks in BLOCKS.items():
                for name, value in (await run(chain, server, blocks, transfers)).items():
                    figures[f"{name}_{transfers}"] = value
            return figures

        yield measure


async def run(chain: Chain, server: PostgresServer, blocks: int, transfers: int) -> dict[str, float]:
    """Execute blocks: rate by the clock, CPU-µs per transfer of this process and of Postgres."""
    assert server.pid is not None, "it runs"
    seconds = own_seconds = 0.0
    database_before = usage(server.pid).cpu_seconds
    for _ in range(blocks):
        block = chain.block(chain.transfers(transfers))
        started, own_started = time.perf_counter(), time.process_time()
        await chain.execute(block)
        seconds += time.perf_counter() - started
        own_seconds += time.process_time() - own_started
    count = blocks * transfers
    return {
        "rate": count / seconds,
        "own_us": own_seconds / count * 1e6,
        "database_us": (usage(server.pid).cpu_seconds - database_before) / count * 1e6,
    }


class Stages:
    """CPU time of parts of a block, all threads of this process."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._blocks: dict[str, list[float]] = defaultdict(list)

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Measure every call of ``owner.name``."""
        function = getattr(owner, name)

        async def awaited(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return await function(*arguments, **named)
            finally:
                self._seconds[stage] += time.process_time() - started

        def called(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self._seconds[stage] += time.process_time() - started

        setattr(owner, name, awaited if inspect.iscoroutinefunction(function) else called)

    def end_block(self) -> None:
        """Close the books of a block."""
        for stage, seconds in self._seconds.items():
            self._blocks[stage].append(seconds)
        self._seconds.clear()

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Stage and median of its seconds in a block, the costliest first."""
        medians = {stage: statistics.median(seconds) for stage, seconds in self._blocks.items()}
        return iter(sorted(medians.items(), key=lambda item: -item[1]))


async def explain(options: argparse.Namespace) -> None:
    """Print the stages of a block."""
    stages, profile = Stages(), cProfile.Profile()
    async with opened(options.accounts) as (chain, server):
        for owner, name, stage in STAGES:
            stages.watch(chain.state if owner is StateStore else owner, name, stage)
        figures = []
        for _ in range(options.blocks):
            if options.profile:
                profile.enable()
            figures.append(await run(chain, server, 1, options.transfers))
            profile.disable()
            stages.end_block()
    which = "wheels only" if accelerator is None else "native"
    print(f"{options.blocks} blocks of {options.transfers} transfers, {which}, CPU-us per transfer")
    rest = own_us = statistics.median(one["own_us"] for one in figures)
    for stage, seconds in stages:
        micros = seconds / options.transfers * 1e6
        rest -= micros
        print(f"  {stage:<24}  {micros:7.1f}")
    print(f"  {'rest':<24}  {rest:7.1f}")
    print(f"  {'process':<24}  {own_us:7.1f}")
    print(f"  {'Postgres':<24}  {statistics.mean(one['database_us'] for one in figures):7.1f}")
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


def main() -> None:
    """Explain where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--transfers", type=int, default=SMALL)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--profile", action="store_true", help="the costliest functions")
    asyncio.run(explain(parser.parse_args()))


if __name__ == "__main__":
    main()
