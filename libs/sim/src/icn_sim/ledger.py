"""The ledger as the application of a simulation: the production service without gRPC, its state in memory.

What it promises is looked at from outside: `LedgerApplication.check_promises` adds up balances by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import Message
from icn_consensus.domain.block import ExecutedState
from icn_consensus.peers.application import ApplicationCalls
from icn_consensus.usecases.ports import Execution, FinalBlock
from icn_crypto.ed25519 import Verdict
from icn_crypto.hashing import sha256
from icn_crypto.state_tree import StateTree, state_key
from icn_crypto.suites import SignedItem, Suite, key_id, verdict_batch
from icn_kit.clock import Clock
from icn_kit.genesis import (
    Allowance,
    BlockLimits,
    Genesis,
    Key,
    Organization,
    Seat,
    TrustProfile,
    ZoneAuthority,
)
from icn_ledger.api.application_service import ApplicationServicer
from icn_ledger.usecases.restore_snapshot import SnapshotRestorer
from icn_ledger.usecases.write_snapshot import SnapshotWriter
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.execute_block import Executor
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.leaves import encode_leaf
from icn_machine.records import Namespace
from icn_machine.snapshot_proof import SnapshotProof

from icn_sim.application import at_once
from icn_sim.inline_loop import InlineLoop
from icn_sim.memory_snapshots import MemorySnapshots
from icn_sim.memory_state import MemoryState
from icn_sim.signatures import verify_signed
from icn_sim.traders import Principal
from icn_sim.zone import (
    GENESIS_HASH,
    GENESIS_TIME_MS,
    PromiseBroken,
    organization_key,
    organization_of,
    public_key_of,
)

PLENTY: Final = Allowance(2**40, 2**40, 2**40, 2**40)
VERDICTS_KEPT: Final = 65_536
"""Every seat verifies the same signatures, and a verdict does not depend on who asks."""

_loop = InlineLoop()
"""Of the service's own tasks."""


@lru_cache(VERDICTS_KEPT)
def _verdict(item: SignedItem) -> Verdict:
    return verdict_batch([item])[0]


async def _verify(items: Sequence[SignedItem]) -> list[Verdict]:
    return [_verdict(item) for item in items]


def founder() -> Principal:
    """The organization that pays for everybody."""
    return Principal("founder", sponsor=None)


def genesis_of(seats: int, epoch_ms: int, heartbeat_ms: int, transactions_max: int) -> Genesis:
    """The simulated zone as the ledger knows it. Its hash is made up: nobody reads a file."""
    paying = founder()
    key = Key(paying.key_id, {Suite.ED25519: paying.public_key})
    return Genesis(
        zone="simulated",
        trust_profile=TrustProfile.HOSTED,
        protocol_version=1,
        time_ms=GENESIS_TIME_MS,
        epoch_ms=epoch_ms,
        heartbeat_ms=heartbeat_ms,
        recovery_delay_ms_min=1_000,
        block_time_distance_ms_max=3_000,
        limits=BlockLimits(1_048_576, transactions_max),
        validators=tuple(
            Seat(seat, organization_of(seat), f"seat {seat}", {Suite.ED25519: public_key_of(seat)})
            for seat in range(seats)
        ),
        organizations=(
            Organization(paying.identifier, "founder", 1, (key,), PLENTY),
            *(_seated(seat) for seat in range(seats)),
        ),
        zone_authority=ZoneAuthority(sha256(b"authority")[:16], 1, (key,), PLENTY),
        hash=GENESIS_HASH,
    )


def _seated(seat: int) -> Organization:
    public_keys = {Suite.ED25519: organization_key(seat).public_key}
    return Organization(
        organization_of(seat), f"seat {seat}", 1, (Key(key_id(public_keys), public_keys),), PLENTY
    )


class LedgerApplication(ApplicationCalls):
    """Implements `icn_sim.application.Simulated` with `icn_ledger`."""

    def __init__(self, genesis: Genesis, clock: Clock) -> None:
        self._genesis = genesis
        self._clock = clock
        self._state = MemoryState(
            initial_commit(genesis, genesis_records(genesis), lambda root: first_header(genesis, root))
        )
        self.snapshots = MemorySnapshots(self._state)
        self._due: list[SnapshotProof] = []
        self.transactions: dict[bytes, int] = {}
        self._heights: dict[bytes, int] = {}
        """By transaction id."""
        self.restart()

    def restart(self) -> None:
        """See `Simulated`."""
        cache = TransactionCache(self._genesis.hash, verify=_verify)
        executor = Executor(
            self._genesis,
            self._state,
            cache,
            lambda _done: None,
            lambda _why: None,
            on_snapshot_due=self._due.append,
        )
        self._calls = _Calls(
            ApplicationServicer(
                self._genesis,
                self._state,
                executor,
                self._clock,
                snapshots=self.snapshots,
                restorer=SnapshotRestorer(self._genesis, self.snapshots, executor, verify_signed),
            )
        )

    def state(self) -> ExecutedState:
        """See `Simulated`."""
        return at_once(self.get_info())[2]

    def prove(self, namespace: Namespace, identifier: bytes, height: int) -> tuple[bytes, str]:
        """A leaf in the state after a height, and its proof as GetProof tells it."""
        records = self._state.records_at(height)
        leaves = {
            state_key(kind, name): encode_leaf(kind, record)
            for kind, name, record in records
            if record is not None
        }
        pages = StateTree({}).update(leaves).pages
        key = state_key(namespace, identifier)
        return leaves[key], json.dumps(StateTree(pages).prove(key).to_dict(), separators=(",", ":"))

    def check_promises(self) -> None:
        """The balances of a unit add up to 0, and none with its holds is below its floor. No evidence is on
        record: what validators sign in a simulation are no signatures to the ledger."""
        records = self._state.records[-1]
        if records.equivocations:
            raise PromiseBroken(f"evidence that proves nothing is on record: {records.equivocations}")
        held: Counter[bytes] = Counter()
        for hold in records.holds.values():
            if hold is not None:
                held[hold.source] += hold.remaining_minor
        sums: Counter[bytes] = Counter()
        for identifier, account in records.accounts.items():
            assert account is not None, "accounts never go"
            sums[account.unit] += account.balance_minor
            if account.balance_minor - held[identifier] < account.floor_minor:
                raise PromiseBroken(f"account {identifier.hex()} is below its floor: {account}")
        if wrong := {unit.hex(): total for unit, total in sums.items() if total}:
            raise PromiseBroken(f"balances do not add up to 0: {wrong}")

    async def execute(self, block: FinalBlock) -> Execution:
        """See `Application`."""
        execution = await super().execute(block)
        in_block: set[bytes] = set()
        for data, (identifier, _) in zip(block.transactions, execution.outcomes, strict=True):
            if identifier in in_block or self._heights.setdefault(identifier, block.height) != block.height:
                raise PromiseBroken(f"transaction {identifier.hex()} is executed twice")
            in_block.add(identifier)
            self.transactions[data] = block.height
        while self._due:
            writer = SnapshotWriter(self.snapshots, pause_factor=0)
            _loop.run(writer.write(self._due.pop()))
        return execution

    @property
    def _stub(self) -> Any:
        return self._calls


class _Calls:
    """The service as a stub: a call is done when it is awaited."""

    def __init__(self, service: ApplicationServicer) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._service, name)

        async def call(request: Message, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - gRPC's
            return _loop.run(method(request, None))

        return call
