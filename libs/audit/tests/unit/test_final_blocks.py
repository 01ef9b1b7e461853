"""The blocks of an archive with their finality, as a ledger executes them."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import pytest
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, Block, BlockHeader
from icn_audit.divergence import Diverged
from icn_audit.final_blocks import final_blocks
from icn_chain.certificate import parse_certificate
from icn_chain.header import header_hash
from icn_machine.blocks.final_block import FinalBlock

from libs.audit.tests.chain import Chain, write
from libs.machine.tests.zone import Zone, memory_ledger


def finality(zone: Zone, block: FinalBlock) -> tuple[int, int]:
    """Height of a block, and of the one that its certificate names at the end of its headers."""
    chain = [block.header, *block.descendant_headers]
    for parent, child in pairwise(chain):
        assert BlockHeader.FromString(child).parent == header_hash(zone.genesis.hash, parent)
    certificate = parse_certificate(block.finalization)
    last = BlockHeader.FromString(chain[-1])
    assert certificate.height == last.height
    assert certificate.block_hash == header_hash(zone.genesis.hash, chain[-1])
    return BlockHeader.FromString(block.header).height, last.height


async def test_every_block_comes_once_in_order_with_a_certificate_at_the_end_of_its_headers(
    chain: Chain, zone: Zone
) -> None:
    blocks = list(final_blocks(BytesIO(chain.archive()).read))
    assert [block.header for block in blocks] == chain.headers
    found = [finality(zone, block) for block in blocks]
    assert {named - height for height, named in found} == {0, 1}, "those before a lazy block wait for another"


async def test_executing_them_comes_to_the_state_of_the_chain(chain: Chain, zone: Zone) -> None:
    ledger = memory_ledger(zone)
    for block in final_blocks(BytesIO(chain.archive()).read):
        await ledger.executor.execute(block)
    assert ledger.state.newest.state_root == chain.ledger.state.newest.state_root
    assert ledger.state.newest.hash == chain.ledger.state.newest.hash


async def test_headers_that_came_with_the_last_block_lead_on_from_those_of_the_chain(
    chain: Chain, zone: Zone
) -> None:
    """The certificate names a block behind the last one."""
    chain.certify()
    await chain.add(is_lazy=True)
    last = chain.blocks.pop()
    chain.blocks[-1].finalization = chain.signed(VOTE_KIND_FINALIZE, chain.headers[-1])
    chain.blocks[-1].descendant_headers.append(Block.FromString(last.block).header)
    *_, block = final_blocks(BytesIO(write(zone.genesis, chain.blocks, [])).read)
    height = len(chain.blocks)
    assert finality(zone, block) == (height, height + 1)


async def test_a_damaged_archive_is_refused_where_it_is_damaged(chain: Chain) -> None:
    damaged = bytearray(chain.archive())
    damaged[-40] ^= 1
    with pytest.raises(Diverged, match="chunk/"):
        list(final_blocks(BytesIO(bytes(damaged)).read))
