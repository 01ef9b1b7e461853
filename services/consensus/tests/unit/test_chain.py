from __future__ import annotations

import pytest
from icn_chain.block import Block, build_block
from icn_chain.header import BlockHeader, build_header, genesis_header
from icn_consensus.domain.actions import Branch
from icn_consensus.domain.chain import BLOCKS_MAX, RECENT_HEIGHTS, Chain
from icn_crypto.hashing import sha256
from icn_crypto.merkle_log import EMPTY_ROOT

GENESIS_HASH = sha256(b"genesis")
GENESIS = genesis_header(
    GENESIS_HASH, protocol_version=1, time_ms=1, state_root=EMPTY_ROOT, validator_set_hash=EMPTY_ROOT
)


def child(parent: BlockHeader, view: int, salt: int = 0) -> Block:
    header = build_header(
        GENESIS_HASH,
        protocol_version=1,
        height=parent.height + 1,
        view=view,
        parent=parent.hash,
        time_ms=parent.time_ms + 1 + salt,
        transactions_root=EMPTY_ROOT,
        executed_height=0,
        state_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        log_root=EMPTY_ROOT,
        parent_certificate_digest=bytes(32),
        finalization_digest=bytes(32),
        epoch=0,
        validator_set_hash=EMPTY_ROOT,
        next_validator_set_hash=EMPTY_ROOT,
    )
    return build_block(header, (), b"", b"")


def grown(count: int) -> tuple[Chain, list[Block]]:
    chain = Chain(GENESIS)
    blocks: list[Block] = []
    for view in range(1, count + 1):
        blocks.append(child(blocks[-1].header if blocks else GENESIS, view))
        chain.add(blocks[-1])
    return chain, blocks


def test_a_path_leads_from_the_final_block_upwards() -> None:
    chain, blocks = grown(3)
    assert chain.path_to(blocks[2].hash).blocks == tuple(blocks)
    assert chain.path_to(GENESIS.hash).blocks == ()
    chain.finalize(blocks[0])
    assert chain.path_to(blocks[2].hash).blocks == (blocks[1], blocks[2])


def test_a_path_names_what_is_missing() -> None:
    chain, blocks = grown(3)
    del chain.blocks[blocks[1].hash]
    path = chain.path_to(blocks[2].hash)
    assert (path.missing, path.leaves_final) == (blocks[1].hash, False)


def test_a_path_past_the_final_height_leaves_the_chain() -> None:
    chain, blocks = grown(2)
    other = child(blocks[0].header, 3, salt=5)
    chain.add(other)
    chain.finalize(blocks[0])
    chain.finalize(blocks[1])
    rival = child(other.header, 4)
    chain.blocks[rival.hash] = rival
    path = chain.path_to(rival.hash)
    assert path.missing == other.hash or path.leaves_final
    del chain.blocks[other.hash]
    assert chain.path_to(rival.hash).leaves_final


def test_only_the_child_of_the_final_block_becomes_final() -> None:
    chain, blocks = grown(2)
    with pytest.raises(AssertionError):
        chain.finalize(blocks[1])


def test_a_branch_holds_final_and_unfinished_hashes_above_a_height() -> None:
    chain, blocks = grown(4)
    for block in blocks[:3]:
        chain.finalize(block)
    path = chain.path_to(blocks[3].hash).blocks
    assert chain.branch_of(path, 1) == Branch(1, tuple(block.hash for block in blocks[1:]))
    assert chain.branch_of(path, 3) == Branch(3, (blocks[3].hash,))
    assert chain.branch_of(path, 4) == Branch(4, ())


def test_heights_beyond_the_remembered_ones_give_no_branch() -> None:
    chain, blocks = grown(RECENT_HEIGHTS + 10)
    for block in blocks:
        chain.finalize(block)
    oldest = chain.final.height - RECENT_HEIGHTS
    assert chain.branch_of((), oldest) is not None
    assert chain.branch_of((), oldest - 1) is None
    assert chain.final_hash_at(oldest) is None
    assert chain.final_hash_at(oldest + 1) == blocks[oldest].hash


def test_finality_drops_what_it_has_passed() -> None:
    chain, blocks = grown(3)
    rival = child(GENESIS, 2, salt=9)
    later = child(blocks[0].header, 9, salt=9)
    chain.add(rival)
    chain.add(later)
    chain.finalize(blocks[0])
    chain.finalize(blocks[1])
    assert set(chain.prune()) == {rival.hash, later.hash}
    assert set(chain.blocks) == {blocks[2].hash}


def test_blocks_are_bounded_and_old_ones_not_taken() -> None:
    chain, blocks = grown(BLOCKS_MAX + 5)
    assert len(chain.blocks) == BLOCKS_MAX
    chain.finalize(blocks[0])
    assert not chain.add(child(GENESIS, 7, salt=3))
    assert chain.add(blocks[BLOCKS_MAX])


def test_headers_are_known_of_the_final_block_and_of_those_above() -> None:
    chain, blocks = grown(2)
    assert chain.header(GENESIS.hash) == GENESIS
    assert chain.header(blocks[1].hash) == blocks[1].header
    assert chain.header(bytes(32)) is None


def test_a_chain_that_starts_with_what_is_stored_names_every_block_of_a_branch() -> None:
    _, blocks = grown(5)
    hashes = [block.hash for block in blocks]
    chain = Chain(blocks[3].header, hashes[1:4])
    assert [chain.final_hash_at(height) for height in range(1, 6)] == [None, *hashes[1:4], None]
    assert chain.branch_of(blocks[4:], 1) == Branch(1, tuple(hashes[1:5]))
    assert chain.branch_of(blocks[4:], 0) is None


def test_a_chain_that_starts_above_genesis_remembers_its_newest_block_and_the_parent() -> None:
    _, blocks = grown(3)
    chain = Chain(blocks[2].header)
    assert [chain.final_hash_at(height) for height in (1, 2, 3, 4)] == [
        None,
        blocks[1].hash,
        blocks[2].hash,
        None,
    ]


def test_blocks_become_final_in_order() -> None:
    chain, blocks = grown(2)
    with pytest.raises(AssertionError, match=r"^blocks become final in order$"):
        chain.finalize(blocks[1])


def test_a_path_that_ends_beside_the_final_block_leaves_the_chain() -> None:
    chain, blocks = grown(1)
    other = child(GENESIS, 2)
    on_other = child(other.header, 3)
    chain.finalize(blocks[0])
    chain.add(on_other)
    path = chain.path_to(on_other.hash)
    assert (path.blocks, path.missing, path.leaves_final) == ((), other.hash, True)
    higher = child(on_other.header, 4)
    chain.add(higher)
    del chain.blocks[on_other.hash]
    path = chain.path_to(higher.hash)
    assert (path.missing, path.leaves_final) == (on_other.hash, False), "that one may be on the final block"


def test_a_block_of_a_view_that_finality_has_passed_is_dropped_whatever_its_height() -> None:
    chain, blocks = grown(1)
    odd = [child(child(GENESIS, view).header, view + offset) for view, offset in ((1, 0), (1, 1))]
    for block in odd:
        chain.add(block)
    chain.finalize(blocks[0])
    assert chain.prune() == (odd[0].hash,), "of the final block's view"
    assert list(chain.blocks) == [odd[1].hash]
