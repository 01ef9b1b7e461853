"""CPU of the ledger per transfer: parsing, validity, execution by its stages, and Postgres.

``python benches/ledger_block.py [--blocks N] [--transfers N] [--members N] [--profile]``. Production path,
state root and durable commit included. Medians of this process, with the accelerator where it is installed;
signatures are verified before and counted apart. Of Postgres the mean over the last half of the blocks,
pruning included: beyond 257 blocks that is what a validator pays from then on.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import inspect
import json
import pstats
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.merkle_log import leaf_hash, tree_root
from icn_crypto.native import accelerator
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit.database import Database
from icn_kit.genesis import Genesis, parse_genesis, public_keys_document
from icn_kit.lifecycle import collect_seldom
from icn_kit.migrate import upgrade, versions_folder_of
from icn_kit.writer import Writer
from icn_ledger.events.outbox_rows import make_event_rows
from icn_ledger.store import state as state_module
from icn_ledger.store.pruner import HEIGHTS_PER_WAKING, Pruner
from icn_ledger.store.state import StateStore
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_machine.blocks import execute_block, final_block
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.branches import Branch, BranchCache
from icn_machine.blocks.execute_block import Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.blocks.validate_block import validate_block
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.touched import touched_by_validity
from icn_machine.validity import Moment
from processes import usage

GENESIS_TIME_MS = 1_700_000_000_000
SETUP_PER_BLOCK = 500


class Person:
    """A principal with one key and one account."""

    def __init__(self, name: str, suites: tuple[Suite, ...] = (Suite.ED25519,)) -> None:
        seed = sha256(name.encode()).digest()
        self.principal, self.account = seed[:16], seed[16:]
        self.keys = {suite: SigningKey.from_seed(suite, seed) for suite in suites}
        self.public = {suite: key.public_key for suite, key in self.keys.items()}
        self.key_id = key_id(self.public)
        self.sequence = 0

    def sign(self, genesis: Genesis, payer: bytes, *messages: pb.Message) -> bytes:
        self.sequence += 1
        body = pb.TransactionBody(
            principal=self.principal,
            payer=payer,
            sequence=self.sequence,
            expire_time_ms=GENESIS_TIME_MS + 80_000_000,
            messages=messages,
        ).SerializeToString(deterministic=True)
        signature = self.keys[Suite.ED25519].sign(preimage(tags.TRANSACTION, genesis.hash, body))
        return pb.Transaction(
            body=body, signatures=[pb.Signature(suite=1, key_id=self.key_id, signature=signature)]
        ).SerializeToString(deterministic=True)


def make_genesis(founders: list[Person]) -> Genesis:
    """Four founders who may use all they want."""
    plenty = {
        "bytes_per_epoch": 2**40,
        "signatures_per_epoch": 2**40,
        "state_leaves": 2**40,
        "fuel_per_epoch": 2**50,
    }
    return parse_genesis(
        json.dumps(
            {
                "zone": "bench",
                "trust_profile": "hosted",
                "protocol_version": 1,
                "genesis_time_ms": GENESIS_TIME_MS,
                "epoch_ms": 86_400_000,
                "heartbeat_ms": 30_000,
                "recovery_delay_ms_min": 1_000,
                "block_time_distance_ms_max": 3_000,
                "limits": {"block_bytes_max": 1_048_576, "block_transactions_max": 4_000},
                "validators": [
                    {
                        "seat": seat,
                        "organization": founder.principal.hex(),
                        "name": f"seat {seat}",
                        "consensus_public_keys": public_keys_document(founder.public),
                    }
                    for seat, founder in enumerate(founders)
                ],
                "organizations": [
                    {
                        "principal": founder.principal.hex(),
                        "name": f"founder {seat}",
                        "controller": {
                            "threshold": 1,
                            "keys": [
                                {
                                    "key_id": founder.key_id.hex(),
                                    "public_keys": public_keys_document(founder.public),
                                }
                            ],
                        },
                        "allowance": plenty,
                    }
                    for seat, founder in enumerate(founders)
                ],
                "zone_authority": {
                    "principal": bytes(16).hex(),
                    "threshold": 1,
                    "key_ids": [founders[0].key_id.hex()],
                    "allowance": plenty,
                },
            }
        ).encode()
    )


STAGES: tuple[tuple[object, str, str], ...] = (
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
)
"""What is measured apart: functions and methods, by what they are to a reader."""


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

    def __iter__(self) -> Iterator[tuple[str, list[float]]]:
        """Stage and seconds in each block, the costliest first."""
        return iter(sorted(self._blocks.items(), key=lambda item: -statistics.median(item[1])))


class Bench:
    """A ledger fed with blocks of our own."""

    def __init__(self, genesis: Genesis, state: StateStore, pruner: Pruner) -> None:
        self.genesis = genesis
        self.state = state
        self.pruner = pruner
        self.cache = TransactionCache(genesis.hash)
        self.branches = BranchCache()
        self.executor = Executor(genesis, state, self.cache, lambda _: None, self._on_halt)

    @staticmethod
    def _on_halt(why: str) -> None:
        raise SystemExit(why)

    def header(self, transactions: list[bytes]) -> bytes:
        newest = self.state.newest
        return BlockHeader(
            protocol_version=1,
            height=newest.height + 1,
            view=newest.height + 1,
            parent=newest.hash,
            time_ms=newest.time_ms + 100,
            transactions_root=tree_root([leaf_hash(data) for data in transactions]),
            executed_height=newest.height,
            state_root=newest.state_root,
            receipts_root=newest.receipts_root,
            log_root=newest.log_root,
            parent_certificate_digest=bytes(32),
            finalization_digest=bytes(32),
            validator_set_hash=self.genesis.validator_set_hash,
            next_validator_set_hash=self.genesis.validator_set_hash,
        ).SerializeToString(deterministic=True)

    async def validate(self, transactions: list[bytes]) -> None:
        newest = self.state.newest
        judgement = await validate_block(
            newest.hash,
            Branch(newest.height, ()),
            Moment(0, newest.time_ms + 100),
            transactions,
            genesis=self.genesis,
            state=self.state,
            cache=self.cache,
            branches=self.branches,
        )
        assert not judgement.reason, judgement

    async def execute(self, transactions: list[bytes], header: bytes) -> None:
        await self.executor.execute(FinalBlock(header, transactions, b"\x08\x03", ()))

    async def verify(self, transactions: list[bytes]) -> None:
        """Reach every verdict before the clock runs."""
        await self.validate(transactions)
        self.cache.bytes_max = 0
        self.cache.read(transactions[0])
        self.cache.bytes_max = 64 * 1024 * 1024


async def measure(
    bench: Bench, members: list[Person], payer: bytes, postgres_pid: int, options: argparse.Namespace
) -> None:
    validity, execution, verification = [], [], []
    settled = options.blocks // 2
    stages = Stages()
    for owner, name, stage in (*STAGES, (bench.state, "_event_rows", "events")):
        stages.watch(owner, name, stage)
    collect_seldom()
    profile = cProfile.Profile()
    for block in range(options.blocks):
        if block == settled:
            postgres_before = usage(postgres_pid).cpu_seconds
        transactions = [
            sender.sign(
                bench.genesis,
                payer,
                pb.Message(
                    transfer=pb.Transfer(
                        source=sender.account,
                        destination=members[(index * 7 + block + 1) % len(members)].account
                        if members[(index * 7 + block + 1) % len(members)] is not sender
                        else members[(index * 7 + block + 2) % len(members)].account,
                        amount_minor=1 + index,
                        memo_hash=sha256(sender.account).digest(),
                    )
                ),
            )
            for index, sender in enumerate(
                members[(block * options.transfers + offset) % len(members)]
                for offset in range(options.transfers)
            )
        ]
        header = bench.header(transactions)
        started = time.process_time()
        known = [bench.cache.read(data) for data in transactions]
        parsed = time.process_time()
        view = await bench.state.load_validity(touched_by_validity(known), bench.state.newest.height)
        wanted = [
            (one, (view.controllers[one.principal].keys[0].public_keys[0][1],))  # type: ignore[union-attr]
            for one in known
        ]
        before = time.process_time()
        await bench.cache.verify_all(wanted)
        verification.append(time.process_time() - before)
        if options.profile:
            profile.enable()
        before = time.process_time()
        await bench.validate(transactions)
        validity.append(time.process_time() - before + parsed - started)
        before = time.process_time()
        await bench.execute(transactions, header)
        execution.append(time.process_time() - before)
        stages.end_block()
        if options.profile:
            profile.disable()
        if block % HEIGHTS_PER_WAKING == 0:
            while await bench.pruner.prune():
                pass
    postgres = (usage(postgres_pid).cpu_seconds - postgres_before) / (options.blocks - settled)
    per: Callable[[list[float]], float] = lambda times: statistics.median(times) / options.transfers * 1e6  # noqa: E731
    print(
        f"{options.blocks} blocks of {options.transfers} transfers, {len(members)} members, "
        f"{'wheels only' if accelerator is None else 'native'}, CPU-µs per transfer"
    )
    print(f"  parsing and validity        {per(validity):7.1f}")
    print(f"  execution, tree and SQL     {per(execution):7.1f}")
    rest = per(execution)
    for stage, times in stages:
        rest -= per(times)
        print(f"    {stage:<24}  {per(times):7.1f}")
    print(f"    {'rest':<24}  {rest:7.1f}")
    print(f"  sum                         {per(validity) + per(execution):7.1f}")
    print(f"  signature verification      {per(verification):7.1f}")
    print(f"  Postgres                    {postgres / options.transfers * 1e6:7.1f}")
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


def setup(genesis: Genesis, founder: Person, payer: bytes, members: list[Person]) -> Iterator[list[bytes]]:
    """Blocks after which each member has an account; the transactions of one do not wait for each other."""
    unit = sha256(b"unit").digest()[:16]
    yield from [
        [
            founder.sign(
                genesis,
                payer,
                pb.Message(create_unit=pb.CreateUnit(unit=unit, code="HOUR", default_floor_minor=-(2**40))),
            )
        ],
        [
            founder.sign(
                genesis,
                payer,
                pb.Message(
                    open_controller=pb.OpenController(
                        principal=member.principal,
                        threshold=1,
                        keys=[
                            pb.ControllerKey(
                                public_keys=[pb.PublicKey(suite=1, public_key=member.public[Suite.ED25519])]
                            )
                        ],
                    )
                ),
            )
            for member in members
        ],
        [
            member.sign(
                genesis, payer, pb.Message(open_account=pb.OpenAccount(account=member.account, unit=unit))
            )
            for member in members
        ],
    ]


async def run(options: argparse.Namespace, dsn: str, postgres_pid: int) -> None:
    founders = [Person(f"founder {seat}", (Suite.ED25519, Suite.ML_DSA_65)) for seat in range(4)]
    genesis = make_genesis(founders)
    database = await Database.open(dsn, "ledger", pool_size=3)
    first = initial_commit(genesis, genesis_records(genesis), lambda root: first_header(genesis, root))
    state = await StateStore.open(database, make_event_rows(genesis.hash), genesis.hash, first)
    bench = Bench(genesis, state, Pruner(database))
    payer = founders[0].principal
    members = [Person(f"member {number}") for number in range(options.members)]
    for transactions in setup(genesis, founders[0], payer, members):
        for start in range(0, len(transactions), SETUP_PER_BLOCK):
            part = transactions[start : start + SETUP_PER_BLOCK]
            await bench.execute(part, bench.header(part))
    await measure(bench, members, payer, postgres_pid, options)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--transfers", type=int, default=200)
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as directory:
        Path(directory).chmod(0o711)
        server = PostgresServer(Path(directory) / "postgres")
        server.start()
        try:
            server.create_database(DATABASE)
            dsn = server.create_role_and_schema("ledger")
            upgrade(dsn, "ledger", versions_folder_of("icn_ledger"))
            asyncio.run(run(options, dsn, server.pid))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
