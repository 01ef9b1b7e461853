"""Puts consensus together: in a process of its own, or beside the ledger in one event loop."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog
from icn.consensus.v1 import service_pb2_grpc
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import parse_validator_set
from icn_crypto.suites import SigningKey, Suite
from icn_kit.channel import ChannelFactory
from icn_kit.clock import Clock, SystemClock
from icn_kit.database import Database
from icn_kit.errors import FailedPrecondition
from icn_kit.genesis import Genesis, load_genesis
from icn_kit.kubernetes import KubernetesApi, KubernetesRefused
from icn_kit.lifecycle import Stop, cancel_all, leave_reason, run_service
from icn_kit.probed import Probed
from icn_kit.server import GrpcServer
from icn_kit.settings import read_settings
from icn_kit.telemetry import configure_logging

from icn_consensus import metrics
from icn_consensus.api.consensus_service import STREAM_TRANSACTIONS, ConsensusServicer
from icn_consensus.api.peer_service import CONNECT, PeerServicer, add_peer_service_to_server
from icn_consensus.domain.config import Config
from icn_consensus.domain.record_frames import RecordLogDamaged
from icn_consensus.domain.replica import Status
from icn_consensus.peers.application import ApplicationClient, LocalApplication, execute_request
from icn_consensus.peers.hello import Identity
from icn_consensus.peers.network import PeerNetwork
from icn_consensus.settings import ConsensusSettings
from icn_consensus.store.block_store import SCHEMA, BlockStore
from icn_consensus.store.evidence_store import EvidenceStore
from icn_consensus.store.key_lease import KeyLease
from icn_consensus.store.key_note import bring_key
from icn_consensus.store.record_log import RecordLog, RecordLogFailed, RecordLogInUse, RecordLogMissing
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_consensus.usecases.driver import Driver
from icn_consensus.usecases.execution import final_block_from
from icn_consensus.usecases.get_node import NodeReader
from icn_consensus.usecases.get_status import StatusReader
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.read_final_blocks import read_chain
from icn_consensus.usecases.recover import recover
from icn_consensus.usecases.state_sync import Sources, sync_state

DATABASE_POOL_SIZE: Final = 2
"""One connection stores, one reads for peers that catch up."""
DRAIN_SECONDS: Final = 3.0

_log = structlog.get_logger(__name__)


class CannotValidate(Exception):
    """The settings do not make this process a validator; the message says what is wrong."""


class Service:
    """A validator's consensus. Made by `build`."""

    def __init__(
        self,
        genesis: Genesis,
        key: SigningKey,
        settings: ConsensusSettings,
        stop: Stop,
        *,
        clock: Clock,
        application: ApplicationClient | LocalApplication,
        protocol_newest: int = NEWEST_PROTOCOL,
    ) -> None:
        self._genesis = genesis
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._config = replace(_config(genesis, key.public_key), protocol_newest=protocol_newest)
        self._crypto = ConsensusCrypto(key, genesis.hash)
        self._record_log: RecordLog | None = None
        self._database: Database | None = None
        self._lease: KeyLease | None = None
        self._lease_task: asyncio.Task[None] | None = None
        self._store: BlockStore | None = None
        self._application = application
        self._channels = ChannelFactory(settings.tls, long_lived_streams=(CONNECT,))
        self._network: PeerNetwork | None = None
        self._driver: Driver | None = None
        self._server: GrpcServer | None = None
        self._fault = ""
        self._status: StatusReader | None = None
        self._listens_since = 0.0

    @property
    def address(self) -> str:
        """Where PeerService and ConsensusService listen, the port filled in."""
        return self._settings.address if self._server is None else self._server.address

    @property
    def fault(self) -> str:
        """Why this validator takes no part, or cannot yet; empty while it does."""
        if self._fault or self._status is None:
            return self._fault
        return self.driver.replica.halted or self._status.lag(time.monotonic() - self._listens_since)

    @property
    def driver(self) -> Driver:
        """What runs around the core, once started."""
        assert self._driver is not None, "start comes first"
        return self._driver

    async def start(self) -> None:
        """Lock the key, recover from disk, begin to serve and to take part.

        Raises:
            RecordLogInUse, RecordLogDamaged, RecordLogStale, KeyInUse: see there; nothing was sent.
            WrongApplication, ApplicationRefused: the application does not fit.
            ProtocolUnknown: the data is of a newer release than this one.
            UnsafeDatabase, Unavailable: see `icn_kit.database`.
        """
        settings, config = self._settings, self._config
        record_log = self._record_log = RecordLog.open(
            settings.record_directory,
            genesis_hash=config.genesis_hash,
            public_key=config.public_key,
            key_file=settings.key_file,
        )
        self._database = await Database.open(
            settings.database_url.get_secret_value(), SCHEMA, pool_size=DATABASE_POOL_SIZE
        )
        lease = self._lease = await KeyLease.take(self._database, config.public_key, record_log.place)
        self._lease_task = self._guard(lease.run(), "consensus.lease")
        store = self._store = await BlockStore.open(
            self._database, config.public_key, record_log.log_id, record_log.sequence
        )
        config = await self._fit_protocols()
        await self._sync_state(store, record_log)
        recovered = await recover(config, self._application, store, record_log.payloads())
        evidence = EvidenceStore(self._database)
        pool = Pool(settings.pool_transactions_max, settings.pool_bytes_max)
        driver = self._driver = Driver(
            config,
            self._crypto,
            self._application,
            store,
            record_log,
            lease=lease,
            evidence=evidence,
            snapshots=self._application,
            pool=pool,
            clock=self._clock,
            recovered=recovered,
        )
        label = config.label
        network = self._network = PeerNetwork(
            self._identity,
            self._addresses,
            self._channels,
            driver,
            final_height=driver.final_height,
            is_named=driver.replica.names,
        )
        driver.begin(network, network.note_final_height, self._guard)
        status = StatusReader(
            config.public_key,
            config.genesis_hash,
            driver.status,
            driver.final_since_ms,
            driver.replica.seats,
            lambda: len(pool),
            network.connection,
            network.protocol_newest,
            config.protocol_newest,
        )
        node = NodeReader(
            config.public_key,
            driver.replica,
            pool,
            driver.ends,
            driver.executor,
            record_log,
            network.streams,
            network.is_barred,
            time.monotonic,
        )
        self._server = GrpcServer(
            settings.address,
            [
                (
                    service_pb2_grpc.add_ConsensusServiceServicer_to_server,
                    ConsensusServicer(
                        driver.admission, status, node, evidence, store, driver.submit_recovery
                    ),
                ),
                (add_peer_service_to_server, PeerServicer(network)),
            ],
            settings.tls,
            long_lived_streams=(CONNECT, STREAM_TRANSACTIONS),
        )
        await self._server.start()
        network.start(self._guard)
        self._status, self._listens_since = status, time.monotonic()
        _publish_metrics(config, driver, pool, record_log, network)
        _log.info(
            "consensus takes part",
            validator=label,
            height=recovered.final_header.height,
            address=self._server.address,
        )

    @property
    def _identity(self) -> Identity:
        config = self._config
        return Identity(
            config.genesis_hash, config.public_key, self._crypto, config.label, config.protocol_newest
        )

    @property
    def _addresses(self) -> list[str]:
        return [address for address in self._settings.peers if address != self._settings.address]

    async def _fit_protocols(self) -> Config:
        """The configuration, with the newest protocol version that process and application both know."""
        _, newest, _ = await self._application.get_info()
        self._config = replace(self._config, protocol_newest=min(self._config.protocol_newest, newest))
        return self._config

    async def _sync_state(self, store: BlockStore, record_log: RecordLog) -> None:
        """Where nothing is here yet: take the state from the others, if they are far ahead.

        In the first epoch nobody has a snapshot (docs/spec/snapshot.md), so nobody waits for others.

        Raises:
            SnapshotBlockMissing: see there.
        """
        if await store.newest() is not None or not self._addresses:
            return
        application, config = self._application, self._config
        _, _, state = await application.get_info()
        may_be_restored = state.executed_height == 0 and config.epoch_of(self._clock.now_ms()) > 0
        if not may_be_restored and await application.restored() is None:
            return
        sources = Sources()
        sources.peers = network = PeerNetwork(
            self._identity,
            self._addresses,
            self._channels,
            sources,
            final_height=lambda: 0,
            is_named=lambda _key: True,
        )
        network.start(self._guard)
        try:
            heights_min = self._settings.state_sync_heights_min
            first = await sync_state(config, application, sources, len(self._addresses), heights_min)
        finally:
            await network.close()
        if first is not None:
            await store.add([first], record_log.synced_sequence)

    async def drain(self) -> None:
        """End streams and calls, finish the block under execution, release the key."""
        if self._driver is not None:
            self._driver.ends.close()
        if self._server is not None:
            await self._server.drain(DRAIN_SECONDS)
        if self._network is not None:
            await self._network.close()
        if self._driver is not None:
            await self._driver.drain(DRAIN_SECONDS)
        await self._channels.close()
        await self._application.close()
        if self._lease is not None and self._lease_task is not None:
            await cancel_all([self._lease_task])
            await self._lease.release()
        if self._store is not None:
            await self._store.close()
        if self._database is not None:
            await self._database.close()
        if self._record_log is not None:
            self._record_log.close()

    def _guard(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._stop.guard(work, name)
        task.add_done_callback(self._note_fault)
        return task

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = self._fault or f"{task.get_name()} failed: {error}"


async def build(
    settings: ConsensusSettings,
    stop: Stop | None = None,
    clock: Clock | None = None,
    application: Callable[[], Any] | None = None,
    protocol_newest: int = NEWEST_PROTOCOL,
) -> Service:
    """A validator's consensus, ready to start.

    Args:
        settings: see `ConsensusSettings`.
        stop: asked to end the process when the validator must not go on; without it ``fault`` tells.
        clock: the system's where left out.
        application: finds the ApplicationService of this process once it is started; where left out it is at
            ``settings.application_address``.
        protocol_newest: what the release knows; less only where a test stands for an older one.

    Raises:
        GenesisInvalid, OSError: the genesis or key file.
        CannotValidate: the key file holds no key; nobody says which application.
    """
    genesis = load_genesis(settings.genesis)
    key = _load_key(settings.key_file)
    if application is None and not settings.application_address:
        raise CannotValidate("application_address says no address")
    calls = (
        ApplicationClient(settings.application_address)
        if application is None
        else LocalApplication(application)
    )
    return Service(
        genesis,
        key,
        settings,
        stop or Stop(),
        clock=clock or SystemClock(),
        application=calls,
        protocol_newest=protocol_newest,
    )


async def read_blocks(database_url: str, from_height: int) -> AsyncIterator[Any]:
    """The final blocks that a validator's database keeps, from a height on, each as the ExecuteBlockRequest
    that its ledger had; for executing them again while no validator runs on the database.

    Raises:
        HistoryMissing, UnsafeDatabase, Unavailable: see there.
    """
    async with _block_store(database_url) as store:
        async for stored in read_chain(from_height, store):
            yield execute_request(final_block_from(stored))


async def find_newest(database_url: str, from_height: int) -> int:
    """Height of the newest final block in a validator's database, if none from a height on is missing.

    Raises:
        HistoryMissing, UnsafeDatabase, Unavailable: see there.
        FailedPrecondition: NO_BLOCKS.
    """
    async with _block_store(database_url) as store:
        newest = await store.newest()
        if newest is None:
            raise FailedPrecondition(
                "NO_BLOCKS", "this validator keeps no block; once started it has them from the others"
            )
        await anext(read_chain(from_height, store), None)
        return newest.height


@asynccontextmanager
async def _block_store(database_url: str) -> AsyncIterator[BlockStore]:
    """For reading; no key votes with it."""
    database = await Database.open(database_url, SCHEMA, pool_size=1)
    try:
        yield BlockStore(database, b"")
    finally:
        await database.close()


def _config(genesis: Genesis, public_key: bytes) -> Config:
    return Config(
        genesis_hash=genesis.hash,
        protocol_version=genesis.protocol_version,
        public_key=public_key,
        validators=parse_validator_set(genesis.validator_set),
        genesis_time_ms=genesis.time_ms,
        epoch_ms=genesis.epoch_ms,
        heartbeat_ms=genesis.heartbeat_ms,
        block_time_distance_ms_max=genesis.block_time_distance_ms_max,
        block_bytes_max=genesis.limits.bytes_max,
        block_transactions_max=genesis.limits.transactions_max,
    )


class _ConfigMapNotes:
    """`icn_consensus.store.key_note.Notes` in a ConfigMap, which lies where the Secrets do."""

    def __init__(self, api: KubernetesApi, name: str) -> None:
        self._api = api
        self._name = name

    def read(self) -> dict[str, str]:
        return self._api.config_map(self._name)

    def add(self, notes: Mapping[str, str]) -> None:
        self._api.add_to_config_map(self._name, notes)


def _bring_key(settings: ConsensusSettings) -> int:
    """Put the key where it is used, with its note, before consensus starts; the exit status."""
    assert settings.given_key_file is not None, "asked for by main"
    try:
        bring_key(
            settings.given_key_file.read_bytes(),
            _load_key(settings.given_key_file).public_key,
            key_file=settings.key_file,
            record_directory=settings.record_directory,
            genesis_hash=load_genesis(settings.genesis).hash,
            notes=_ConfigMapNotes(KubernetesApi.of_this_pod(), settings.key_notes),
        )
    except (
        KubernetesRefused,
        RecordLogMissing,
        RecordLogDamaged,
        RecordLogInUse,
        RecordLogFailed,
        CannotValidate,
    ) as error:
        _log.critical("this validator must not vote", why=str(error))
        leave_reason(f"this validator must not vote: {error}")
        return 1
    return 0


def _load_key(path: Path) -> SigningKey:
    try:
        seed = bytes.fromhex(json.loads(path.read_text("ascii"))["ed25519"])
        return SigningKey.from_seed(Suite.ED25519, seed)
    except (ValueError, KeyError, TypeError) as error:
        raise CannotValidate(f"{path} holds no ed25519 seed: {type(error).__name__}") from None


def _publish_metrics(
    config: Config, driver: Driver, pool: Pool, record_log: RecordLog, network: PeerNetwork
) -> None:
    """Gauges that read what they show when they are scraped."""
    seat, protocol_newest = config.label, config.protocol_newest
    status: list[tuple[Any, str]] = [
        (metrics.HEIGHT.labels(seat, "final"), "final_height"),
        (metrics.HEIGHT.labels(seat, "executed"), "executed_height"),
        (metrics.VIEW.labels(seat), "view"),
        (metrics.EPOCH.labels(seat), "epoch"),
        (metrics.CATCHING_UP.labels(seat), "is_catching_up"),
        (metrics.PROTOCOL.labels(seat, "in_force"), "protocol_version"),
        (metrics.PROTOCOL.labels(seat, "next"), "protocol_next"),
    ]
    for gauge, name in status:
        gauge.set_function(lambda name=name: _number(driver.status(), name))
    metrics.PROTOCOL.labels(seat, "known").set(protocol_newest)
    metrics.HEIGHT.labels(seat, "told").set_function(network.told_height)
    metrics.VIEW_TIMEOUT_SECONDS.labels(seat).set_function(lambda: driver.replica.turn().timeout_ms / 1000)
    metrics.TURNS.counts = lambda: ((turn := driver.replica.turn()).kept_turns, turn.lost_turns)
    metrics.POOL_TRANSACTIONS.labels(seat).set_function(lambda: len(pool))
    metrics.POOL_BYTES.labels(seat).set_function(lambda: pool.size_bytes)
    metrics.POOL_DEFERRED_TRANSACTIONS.labels(seat).set_function(lambda: pool.deferred)
    metrics.POOL_OLDEST_AGE_SECONDS.labels(seat).set_function(
        lambda: pool.oldest_age_seconds(time.monotonic())
    )
    metrics.WAITING_CLIENTS.labels(seat).set_function(lambda: len(driver.ends))
    metrics.EXECUTION_BACKLOG.labels(seat).set_function(lambda: driver.executor.backlog)
    metrics.RECORD_LOG_BYTES.labels(seat).set_function(lambda: record_log.size_bytes)


def _number(status: Status, name: str) -> float:
    return float(getattr(status, name))


def main() -> None:
    """The command ``icn-consensus``; with ``bring-key`` it only prepares the key."""
    configure_logging("consensus")
    settings = read_settings(ConsensusSettings)
    if sys.argv[1:] == ["bring-key"]:
        sys.exit(_bring_key(settings))

    async def build_probed(stop: Stop) -> Probed:
        return Probed((await build(settings, stop),), settings.metrics_host, settings.metrics_port)

    sys.exit(run_service(build_probed))


if __name__ == "__main__":
    main()
