"""Puts the ledger together: in a process of its own, or beside consensus in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import structlog
from icn.consensus.v1 import application_pb2_grpc, block_pb2
from icn_chain.checkpoint import CheckpointMalformed, parse_checkpoint
from icn_chain.epochs import EpochSet
from icn_chain.protocols import NEWEST_PROTOCOL, held_protocol
from icn_kit.bus import Bus
from icn_kit.clock import Clock, SystemClock
from icn_kit.database import Database
from icn_kit.errors import FailedPrecondition
from icn_kit.genesis import Genesis, load_genesis
from icn_kit.ledger_streams import STREAM_LEAVES, WATCH_ACCOUNT, WATCH_BLOCKS
from icn_kit.lifecycle import EXIT_FATAL, Stop, cancel_all, run_service
from icn_kit.probed import Probed
from icn_kit.relay import Relay
from icn_kit.server import GrpcServer
from icn_kit.settings import read_settings
from icn_kit.telemetry import configure_logging
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.contract_engine import ContractEngine, NoVm
from icn_machine.blocks.execute_block import Execution, Executor
from icn_machine.blocks.final_block import FinalBlock, protocol_unknown
from icn_machine.blocks.ports import ExecutedBlock
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.invariants import check_state

from icn_ledger.api.application_service import ApplicationServicer
from icn_ledger.api.ledger_service import LedgerServicer
from icn_ledger.api.reads_at_height import AddLedgerService
from icn_ledger.events.outbox_rows import make_event_rows
from icn_ledger.metrics import DUTY, EXECUTED_HEIGHT, TRANSACTIONS
from icn_ledger.peers.vm import VmClient
from icn_ledger.settings import LedgerSettings
from icn_ledger.store.pruner import Pruner
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.store.snapshots import PostgresSnapshots
from icn_ledger.store.state import StateStore, read_executed_height
from icn_ledger.usecases.query_contract import ContractQueries
from icn_ledger.usecases.rebuild_ledger import Rebuilt, rebuild_ledger
from icn_ledger.usecases.restore_snapshot import SnapshotRestorer
from icn_ledger.usecases.stream_leaves import LeafReader
from icn_ledger.usecases.watch_blocks import BlockFeed
from icn_ledger.usecases.write_snapshot import SnapshotWriter

SCHEMA = "ledger"
STATE_POOL_SIZE = 2
"""One for execution, one for validation, beside the one that writes. Readers have a pool of their own."""
QUERY_POOL_SIZE = 4
DRAIN_SECONDS = 3.0

_log = structlog.get_logger(__name__)


class Service:
    """A running ledger. Made by `build`."""

    def __init__(
        self,
        genesis: Genesis,
        settings: LedgerSettings,
        stop: Stop,
        clock: Clock,
        protocol_newest: int = NEWEST_PROTOCOL,
    ) -> None:
        self._genesis = genesis
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._protocol_newest = protocol_newest
        self._databases: list[Database] = []
        self._servers: list[GrpcServer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._state: StateStore | None = None
        self._executor: Executor | None = None
        self._application: ApplicationServicer | None = None
        self._vm: VmClient | None = None
        self._halted = ""

    @property
    def addresses(self) -> list[str]:
        """Where ApplicationService (if anywhere) and LedgerService listen, ports filled in."""
        return [server.address for server in self._servers]

    @property
    def fault(self) -> str:
        """Why this ledger can do no more; empty while it can."""
        return self._halted

    @property
    def application(self) -> ApplicationServicer:
        """ApplicationService, once started: for consensus in the same process."""
        assert self._application is not None, "start comes first"
        return self._application

    async def start(self) -> None:
        """Open the database (writing genesis into an empty one), check the state, serve.

        Raises:
            WrongGenesis, UnsafeDatabase, InvariantBroken, Unavailable: see there; nothing is served.
            FailedPrecondition: PROTOCOL_VERSION_UNKNOWN: a newer release executed the newest block.
        """
        state_database = await self._open(STATE_POOL_SIZE)
        query_database = await self._open(QUERY_POOL_SIZE)
        state = self._state = await open_state(state_database, self._genesis)
        check_known(state.newest, self._protocol_newest)
        queries = LedgerQueries(query_database)
        check_state(*await queries.countable())
        feed = BlockFeed(state.newest.height)
        pruner = Pruner(query_database)

        EXECUTED_HEIGHT.set(state.newest.height)
        DUTY.counts = lambda: state.duty
        contracts: ContractEngine = NoVm()
        if self._settings.vm_address:
            contracts = self._vm = VmClient(self._settings.vm_address, self._genesis.hash)

        def on_executed(execution: Execution) -> None:
            EXECUTED_HEIGHT.set(execution.block.height)
            TRANSACTIONS.inc(len(execution.outcomes))
            feed.publish(execution)
            pruner.note_executed()

        async def on_restored() -> None:
            _log.warning("state restored from a snapshot", height=state.newest.height)
            EXECUTED_HEIGHT.set(state.newest.height)
            feed.begin_at(state.newest.height)
            check_state(*await queries.countable())

        snapshots = PostgresSnapshots(query_database)
        writer = SnapshotWriter(snapshots)
        executor = self._executor = Executor(
            self._genesis,
            state,
            TransactionCache(self._genesis.hash),
            on_executed,
            self._on_halt,
            contracts,
            writer.note_due,
            on_restored,
            protocol_newest=self._protocol_newest,
        )
        application = self._application = ApplicationServicer(
            self._genesis,
            state,
            executor,
            self._clock,
            snapshots=snapshots,
            restorer=SnapshotRestorer(
                self._genesis, snapshots, executor, checkpoint=read_checkpoint(self._settings, self._genesis)
            ),
        )
        ledger = LedgerServicer(
            queries,
            feed,
            self._genesis.hash,
            ContractQueries(queries, contracts),
            LeafReader(snapshots),
        )
        settings = self._settings
        if settings.application_address:
            added = application_pb2_grpc.add_ApplicationServiceServicer_to_server
            self._servers.append(GrpcServer(settings.application_address, [(added, application)]))
        self._servers.append(
            GrpcServer(
                settings.address,
                [(AddLedgerService(feed), ledger)],
                settings.tls,
                long_lived_streams=(WATCH_BLOCKS, WATCH_ACCOUNT, STREAM_LEAVES),
            )
        )
        for server in self._servers:
            await server.start()
        self._tasks.append(self._stop.guard(pruner.run(), "ledger.pruner"))
        self._tasks.append(self._stop.guard(writer.run(), "ledger.snapshots"))
        if settings.nats_url:
            self._tasks.append(self._stop.guard(self._publish(query_database), "ledger.relay"))
        _log.info("ledger serves", height=state.newest.height, address=self._servers[-1].address)

    async def drain(self) -> None:
        """Refuse new calls, finish those under way, release everything."""
        await asyncio.gather(*(server.drain(DRAIN_SECONDS) for server in reversed(self._servers)))
        await self._finish_block()
        await cancel_all(self._tasks)
        if self._state is not None:
            await self._state.close()
        for database in self._databases:
            await database.close()

    async def _finish_block(self) -> None:
        """Let the block under way be committed; one that waits for its vm is given again after a start."""
        if self._executor is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._executor.finish(), DRAIN_SECONDS)
        if self._vm is not None:
            await self._vm.close()
        if self._executor is not None:
            await self._executor.finish()

    async def _open(self, pool_size: int) -> Database:
        database = await Database.open(
            self._settings.database_url.get_secret_value(), SCHEMA, pool_size=pool_size
        )
        self._databases.append(database)
        return database

    async def _publish(self, database: Database) -> None:
        """Connect to NATS, however long it takes, and publish the outbox."""
        settings = self._settings
        bus = await Bus.connect(
            settings.nats_url,
            settings.name,
            user=settings.nats_user or None,
            password=settings.bus_password,
            tls=settings.tls,
            stream_replicas=settings.nats_stream_replicas,
        )
        queries = LedgerQueries(database)

        async def has_all_events() -> bool:
            return not await queries.snapshot_height()

        try:
            await Relay(database, bus, SCHEMA, has_all_events).run()
        finally:
            await bus.close()

    def _on_halt(self, why: str) -> None:
        self._halted = why
        _log.critical("ledger halted", why=why)
        self._stop.request(f"ledger halted: {why}", EXIT_FATAL)


async def build(
    settings: LedgerSettings,
    stop: Stop | None = None,
    clock: Clock | None = None,
    protocol_newest: int = NEWEST_PROTOCOL,
) -> Service:
    """A ledger ready to start.

    Args:
        settings: see `LedgerSettings`.
        stop: asked to end the process when the ledger must not go on; without it, the ledger only refuses to.
        clock: the system's where left out.
        protocol_newest: what the release knows; less only where a test stands for an older one.

    Raises:
        GenesisInvalid, OSError: the genesis file.
    """
    genesis = load_genesis(settings.genesis)
    return Service(genesis, settings, stop or Stop(), clock or SystemClock(), protocol_newest)


def check_known(newest: ExecutedBlock, protocol_newest: int = NEWEST_PROTOCOL) -> None:
    """Refuse to go on from a block whose rules this release does not know.

    Raises:
        FailedPrecondition: PROTOCOL_VERSION_UNKNOWN {protocol_version, protocol_newest, height}.
    """
    version = block_pb2.BlockHeader.FromString(newest.header).protocol_version
    if version > protocol_newest:
        told = held_protocol(version, newest.height, protocol_newest)
        raise protocol_unknown(told, version, protocol_newest, newest.height)


async def open_state(database: Database, genesis: Genesis) -> StateStore:
    """The state in a database; that of genesis is written into an empty one.

    Raises:
        WrongGenesis: see there.
    """
    first = initial_commit(
        genesis, genesis_records(genesis), lambda state_root: first_header(genesis, state_root)
    )
    return await StateStore.open(database, make_event_rows(genesis.hash), genesis.hash, first)


async def rebuild(
    genesis: Genesis,
    database_url: str,
    schema: str,
    blocks: AsyncIterator[FinalBlock],
    contracts: ContractEngine,
    *,
    may_replace: bool = False,
    on_block: Callable[[int], None] = lambda _height: None,
) -> Rebuilt:
    """Execute a chain from genesis on into empty tables, beside those of the ledger; nobody else may use
    either.

    Args:
        genesis: of the zone.
        database_url: the validator's own Postgres, as the role ``ledger``.
        schema: with the ledger's tables, empty; where what is rebuilt goes.
        blocks: see `rebuild_ledger`.
        contracts: runs contracts.
        may_replace: whether a ledger that has executed blocks is to be replaced.
        on_block: told of every height that was executed.

    Raises:
        FailedPrecondition: LEDGER_NOT_EMPTY; or as `rebuild_ledger`.
        InvariantBroken: what came of it cannot be right.
    """
    async with AsyncExitStack() as stack:

        async def opened(name: str) -> Database:
            database = await Database.open(database_url, name, pool_size=STATE_POOL_SIZE)
            stack.push_async_callback(database.close)
            return database

        height = await read_executed_height(await opened(SCHEMA))
        if height and not may_replace:
            raise FailedPrecondition(
                "LEDGER_NOT_EMPTY", f"the ledger stands at height {height}", executed_height=height
            )
        database = await opened(schema)
        state = await open_state(database, genesis)
        stack.push_async_callback(state.close)
        executor = Executor(
            genesis,
            state,
            TransactionCache(genesis.hash),
            lambda _execution: None,
            lambda _why: None,
            contracts,
        )
        rebuilt = await rebuild_ledger(blocks, executor, Pruner(database).prune, on_block)
        check_state(*await LedgerQueries(database).countable())
        return rebuilt


def read_checkpoint(settings: LedgerSettings, genesis: Genesis) -> EpochSet | None:
    """The seats of an epoch that the operator believes.

    Raises:
        CheckpointMalformed: the file is none of this zone.
    """
    if settings.checkpoint is None:
        return None
    found = parse_checkpoint(settings.checkpoint.read_bytes())
    if found.genesis != genesis.hash:
        raise CheckpointMalformed(f"genesis: of zone {found.genesis.hex()}, not of {genesis.hash.hex()}")
    return EpochSet(found.epoch, found.validators)


def main() -> None:
    """The command ``icn-ledger``."""
    configure_logging("ledger")
    settings = read_settings(LedgerSettings)

    async def build_probed(stop: Stop) -> Probed:
        return Probed((await build(settings, stop),), settings.metrics_host, settings.metrics_port)

    sys.exit(run_service(build_probed))


if __name__ == "__main__":
    main()
