"""Archives of chains that go on by another protocol version."""

from __future__ import annotations

import pytest
from icn.consensus.v1.block_pb2 import Block, BlockHeader
from icn_audit.divergence import Diverged
from icn_chain.protocols import KNOWN_PROTOCOLS, NEWEST_PROTOCOL
from icn_kit.errors import FailedPrecondition

from libs.audit.tests.chain import Chain, verify
from libs.machine.tests.seats import activate_protocol
from libs.machine.tests.zone import Zone, anchor, make_zone


@pytest.fixture
def zone() -> Zone:
    return make_zone()


async def upgraded(zone: Zone) -> Chain:
    """Version 2 in force for two blocks."""
    chain = Chain(zone)
    await activate(chain, 2)
    await chain.pass_edge()
    await chain.add(transaction(chain, anchor(bytes([1]) * 32)))
    await chain.add(transaction(chain, anchor(bytes([1]) * 32)))
    return chain


async def activate(chain: Chain, version: int) -> None:
    await chain.add(transaction(chain, activate_protocol(version)))


def transaction(chain: Chain, message: object) -> bytes:
    time_ms = chain.ledger.state.newest.time_ms + 1_000
    return chain.zone.transaction(chain.zone.authority, message, time_ms=time_ms)  # type: ignore[arg-type]


async def test_each_block_is_executed_by_the_rules_of_its_version(zone: Zone) -> None:
    chain = await upgraded(zone)
    versions = [BlockHeader.FromString(header).protocol_version for header in chain.headers]
    assert versions == [1, 1, 2, 2]
    report = await verify(chain.archive(), zone)
    assert (report.heights, report.state_root) == (4, chain.ledger.state.newest.state_root)


@pytest.mark.parametrize(("at", "wrong", "right"), [(1, 2, 1), (2, 1, 2), (3, 1, 2), (3, 3, 2)])
async def test_a_header_of_another_version_is_named(zone: Zone, at: int, wrong: int, right: int) -> None:
    chain = await upgraded(zone)
    block = Block.FromString(chain.blocks[at].block)
    header = BlockHeader.FromString(block.header)
    header.protocol_version = wrong
    block.header = header.SerializeToString(deterministic=True)
    chain.blocks[at].block = block.SerializeToString(deterministic=True)
    with pytest.raises(Diverged) as found:
        await verify(chain.archive(), zone)
    assert (found.value.height, found.value.key) == (at + 1, "header")
    assert (found.value.expected, found.value.found) == (
        f"protocol version {right}",
        f"protocol version {wrong}",
    )


async def test_an_archive_past_what_the_release_knows_asks_for_a_newer_one(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = NEWEST_PROTOCOL + 1
    chain = await upgraded(zone)
    await activate(chain, unknown)
    await chain.pass_edge()
    height = chain.ledger.state.newest.height
    report = await verify(chain.archive(), zone)
    assert report.heights == height, "up to the edge all is known, though another version is named"
    with monkeypatch.context() as newer:
        newer.setitem(KNOWN_PROTOCOLS, unknown, KNOWN_PROTOCOLS[NEWEST_PROTOCOL])  # type: ignore[arg-type]
        chain.ledger.executor.protocol_newest = unknown
        await chain.add()
    with pytest.raises(FailedPrecondition) as refusal:
        await verify(chain.archive(), zone)
    assert refusal.value.reason == "PROTOCOL_VERSION_UNKNOWN"
    assert refusal.value.message == (
        f"protocol version {unknown} is in force from height {height + 1} on; "
        "this release knows 1 and 2: upgrade icn"
    )
