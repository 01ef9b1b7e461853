"""At start: level the application with the block store, then tell the core what disk holds."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from icn.consensus.v1 import block_pb2
from icn_chain.header import BlockHeader, genesis_header, parse_header
from icn_chain.protocols import held_protocol
from icn_chain.validator_set import parse_validator_set, validator_set_hash

from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.chain import RECENT_HEIGHTS
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.usecases.admission import HISTORY_MISSING
from icn_consensus.usecases.execution import final_block_from
from icn_consensus.usecases.ports import Application, ApplicationRefused, BlockStore, StoredBlock

_log = structlog.get_logger(__name__)


class WrongApplication(Exception):
    """The application is of another zone, cannot run its rules, or is ahead of an empty block store."""


class ProtocolUnknown(Exception):
    """The blocks in the store are of a protocol version that this release does not know: a newer one wrote
    them. The message says so, and what to do."""


async def recover(
    config: Config, application: Application, store: BlockStore, records: Iterable[bytes]
) -> Recovered:
    """What disk holds, after the application has executed every block of the store.

    An application that is ahead of the store (which was restored from an older copy) answers again for the
    store's newest block; the blocks after it are fetched from others and executed again without effect.

    Raises:
        WrongApplication: see there.
        ProtocolUnknown: see there.
        ApplicationRefused: the application's state contradicts the block store.
        Unavailable: the database does not answer.
    """
    state = await _checked_state(config, application)
    newest = await store.newest()
    if newest is not None:
        _check_protocol(config, _header_of(config, newest))
    if newest is None:
        if state.executed_height:
            raise WrongApplication(
                f"the application stands at height {state.executed_height}, the block store is empty"
            )
        return Recovered(_genesis_header(config, state), b"", state, tuple(records))
    if state.executed_height < newest.height:
        state = await _execute_again(application, store, state.executed_height, newest.height)
    elif state.executed_height > newest.height:
        _log.warning("the block store is behind", stored=newest.height, executed=state.executed_height)
        state = (await application.execute(final_block_from(newest))).state
    header = _header_of(config, newest)
    hashes = {header.validator_set_hash, header.next_validator_set_hash} - {config.validators.hash}
    data = [await application.validator_set(item) for item in sorted(hashes)]
    if validator_set_hash(state.next_validator_set) not in {header.validator_set_hash, *hashes}:
        data += await _named_lately(application, store, header)
    validators = tuple(parse_validator_set(item) for item in data)
    recent_hashes = tuple(await store.recent_hashes(RECENT_HEIGHTS))
    return Recovered(header, newest.finalization, state, tuple(records), validators, recent_hashes)


async def _checked_state(config: Config, application: Application) -> ExecutedState:
    genesis_hash, protocol_version, state = await application.get_info()
    if genesis_hash != config.genesis_hash:
        raise WrongApplication(
            f"the application began with genesis {genesis_hash.hex()}, not with {config.genesis_hash.hex()}"
        )
    if protocol_version < config.protocol_version:
        raise WrongApplication(
            f"the application runs protocol versions up to {protocol_version}, not {config.protocol_version}"
        )
    return state


async def _named_lately(application: Application, store: BlockStore, header: BlockHeader) -> list[bytes]:
    """Sets that states named from the one on that an edge may still name: where several changes are pending,
    that need not be the newest, nor one that a header names yet."""
    named: dict[bytes, None] = {}
    height = max(header.executed_height, header.height - RECENT_HEIGHTS, 1)
    while height <= header.height and (page := await store.page(height)):
        for stored in page:
            try:
                execution = await application.execute(final_block_from(stored))
            except ApplicationRefused as refusal:
                if refusal.reason != HISTORY_MISSING:
                    raise
                continue  # a snapshot began above this height
            named[execution.state.next_validator_set] = None
        height = page[-1].height + 1
    return list(named)


def _check_protocol(config: Config, newest: BlockHeader) -> None:
    if newest.protocol_version > config.protocol_newest:
        raise ProtocolUnknown(held_protocol(newest.protocol_version, newest.height, config.protocol_newest))


async def _execute_again(
    application: Application, store: BlockStore, executed_height: int, newest_height: int
) -> ExecutedState:
    _log.info("executing blocks from the store", executed=executed_height, stored=newest_height)
    while True:
        page = await store.page(executed_height + 1)
        assert page, "the store holds every height up to its newest"
        for stored in page:
            state = (await application.execute(final_block_from(stored))).state
        executed_height = page[-1].height
        if executed_height >= newest_height:
            return state


def _header_of(config: Config, stored: StoredBlock) -> BlockHeader:
    return parse_header(config.genesis_hash, block_pb2.Block.FromString(stored.block).header)


def _genesis_header(config: Config, state: ExecutedState) -> BlockHeader:
    return genesis_header(
        config.genesis_hash,
        protocol_version=config.protocol_version,
        time_ms=config.genesis_time_ms,
        state_root=state.state_root,
        validator_set_hash=config.validators.hash,
    )
