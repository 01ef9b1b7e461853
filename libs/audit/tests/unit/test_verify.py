"""An archive that says what happened holds; one that says anything else is found out, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from icn.audit.v1 import archive_pb2 as pb
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, VOTE_KIND_NOTARIZE, Block, BlockHeader
from icn.ledger.v1.state_pb2 import AccountLeaf
from icn.ledger.v1.transaction_pb2 import Message
from icn_audit import verify as verify_module
from icn_audit.archive import BLOCKS_BYTES, in_batches
from icn_audit.divergence import Diverged
from icn_chain.block import transactions_root
from icn_chain.certificate import certificate_digest
from icn_crypto.native import accelerator
from icn_crypto.suites import SignedItem, verify_batch
from icn_machine.records import Namespace

from libs.audit.tests.chain import Chain, verify, write
from libs.machine.tests.certificates import certificate
from libs.machine.tests.seats import next_hash, rekey
from libs.machine.tests.zone import (
    Member,
    TestKey,
    Zone,
    anchor,
    make_zone,
    open_controller,
    update_controller,
)

Edit = Callable[[Block, BlockHeader], None]


async def found(archive: bytes, zone: Zone) -> tuple[int, str]:
    """Height and key of the divergence."""
    with pytest.raises(Diverged) as caught:
        await verify(archive, zone)
    assert caught.value.expected != caught.value.found
    return caught.value.height, caught.value.key


def edited(chain: Chain, height: int, edit: Edit) -> bytes:
    """The archive with one block changed and its header made to name the changed body; nobody signed it."""
    block = Block.FromString(chain.blocks[height - 1].block)
    header = BlockHeader.FromString(block.header)
    edit(block, header)
    header.transactions_root = transactions_root(block.transactions)
    header.parent_certificate_digest = certificate_digest(block.parent_certificate)
    header.finalization_digest = certificate_digest(block.finalization)
    block.header = header.SerializeToString(deterministic=True)
    blocks = list(chain.blocks)
    blocks[height - 1] = pb.ArchivedBlock(block=block.SerializeToString(deterministic=True))
    return write(chain.zone.genesis, blocks, chain.leaves())


async def test_what_happened_holds(chain: Chain, zone: Zone) -> None:
    report = await verify(chain.archive(), zone)
    newest = chain.ledger.state.newest
    posted = sum(len(commit.posted) for commit in chain.ledger.state.commits)  # type: ignore[attr-defined]
    assert (report.heights, report.transfers, report.state_root) == (newest.height, posted, newest.state_root)
    assert report.transfers > 20


async def test_an_archive_of_genesis_alone_holds(zone: Zone) -> None:
    chain = Chain(zone)
    report = await verify(write(zone.genesis, [], chain.leaves()), zone)
    assert (report.heights, report.transfers) == (0, 0)


async def test_another_zone_s_archive_is_refused(chain: Chain) -> None:
    other = make_zone({"state_leaves": 7})
    assert await found(chain.archive(), other) == (0, "genesis")


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda block, _: block.transactions.append(b"no transaction"), "transactions"),
        (lambda block, _: block.transactions.append(block.transactions[0]), "transactions"),
        (lambda _, header: setattr(header, "state_root", bytes(32)), "state_root"),
        (lambda _, header: setattr(header, "receipts_root", bytes(32)), "receipts_root"),
        (lambda _, header: setattr(header, "log_root", bytes(32)), "log_root"),
        (lambda _, header: setattr(header, "parent", bytes(32)), "header"),
        (lambda _, header: setattr(header, "height", header.height + 1), "header"),
        (lambda _, header: setattr(header, "view", header.view - 1), "header"),
        (lambda _, header: setattr(header, "time_ms", header.time_ms - 5_000), "header"),
        (lambda _, header: setattr(header, "protocol_version", 2), "header"),
        (lambda _, header: setattr(header, "executed_height", header.executed_height - 1), "header"),
        (lambda block, _: setattr(block, "parent_certificate", b""), "parent_certificate"),
        (lambda block, _: setattr(block, "finalization", b"none"), "finalization"),
    ],
)
async def test_a_block_that_breaks_a_rule_is_named(chain: Chain, zone: Zone, edit: Edit, key: str) -> None:
    assert await found(edited(chain, 12, edit), zone) == (12, key)


async def test_a_transaction_that_its_signer_never_signed_is_found(chain: Chain, zone: Zone) -> None:
    """A quorum of validators may agree on what it likes, but cannot sign for a member."""

    def forge(block: Block, _header: BlockHeader) -> None:
        data = bytearray(block.transactions[0])
        data[-1] ^= 1  # of the signature
        block.transactions[0] = bytes(data)

    height, key = await found(edited(chain, 2, forge), zone)
    assert (height, key) == (2, "transactions")


@pytest.mark.parametrize("seats", [range(2), [0, 0, 1]])
async def test_less_than_a_quorum_makes_nothing_final(zone: Zone, seats: list[int]) -> None:
    chain = Chain(zone)
    await chain.add()
    await chain.add()
    chain.certify()
    chain.blocks[-1].finalization = certificate(zone, VOTE_KIND_FINALIZE, chain.headers[-1], seats)
    assert await found(write(zone.genesis, chain.blocks, chain.leaves()), zone) == (2, "certificate")


async def test_less_than_a_quorum_notarizes_nothing(zone: Zone) -> None:
    chain = Chain(zone)
    await chain.add()
    await chain.add(signers=range(2))
    assert await found(chain.archive(), zone) == (2, "parent_certificate")


async def test_a_notarization_is_no_finalization(zone: Zone) -> None:
    chain = Chain(zone)
    await chain.add()
    chain.blocks[-1].finalization = certificate(zone, VOTE_KIND_NOTARIZE, chain.headers[-1])
    assert await found(write(zone.genesis, chain.blocks, chain.leaves()), zone) == (1, "certificate")


async def test_the_end_of_an_epoch_needs_its_own_finality(chain: Chain, zone: Zone) -> None:
    edge = next(place for place, block in enumerate(chain.blocks) if block.finalization)
    chain.blocks[edge].finalization = b""
    assert await found(chain.archive(), zone) == (edge + 1, "certificate")


async def test_finality_has_its_place_and_no_other(chain: Chain, zone: Zone) -> None:
    """Otherwise there would be bytes that nobody looks at."""
    chain.blocks[3].finalization = certificate(zone, VOTE_KIND_FINALIZE, chain.headers[3])
    assert await found(chain.archive(), zone) == (4, "certificate")


async def test_however_far_execution_lags_behind_blocks_are_judged_on_the_state_they_name(zone: Zone) -> None:
    chain = Chain(zone)
    await chain.add()
    await chain.add()
    for number in range(300):
        shop = zone.organizations[number % 4]
        later_ms = chain.ledger.state.newest.time_ms + 1_000
        digest = number.to_bytes(32, "big")
        await chain.add(zone.transaction(shop, anchor(digest), time_ms=later_ms), is_lazy=True)
    await chain.add()
    assert (await verify(chain.archive(), zone)).heights == 303


async def changed_seats(zone: Zone) -> Chain:
    """A chain of seven seats, of which the third signs with another key from the second epoch on."""
    chain = Chain(zone)
    chain.signers = range(5)
    await chain.add()
    third = zone.organizations[2]
    time_ms = chain.ledger.state.newest.time_ms + 1_000
    await chain.add(zone.transaction(third, rekey(zone, third.principal, "another key"), time_ms=time_ms))
    assert next_hash(chain.ledger) != zone.genesis.validator_set_hash
    await chain.pass_edge()
    chain.keys[1] = {2: "another key"}
    await chain.add()
    await chain.add()
    return chain


async def test_a_changed_validator_set_signs_from_the_next_epoch_on() -> None:
    zone = make_zone(seats=7)
    chain = await changed_seats(zone)
    report = await verify(chain.archive(), zone)
    assert (report.heights, report.state_root) == (5, chain.ledger.state.newest.state_root)


@pytest.mark.parametrize(("epoch", "height"), [(0, 2), (1, 5)])
async def test_keys_of_another_epoch_sign_nothing(epoch: int, height: int) -> None:
    """The set before the change and the one after it are no quorum together, either."""
    zone = make_zone(seats=7)
    chain = await changed_seats(zone)
    chain.keys = {0: {2: "another key"}} if epoch == 0 else {}
    wrong = chain.signed(VOTE_KIND_NOTARIZE, chain.headers[height - 2])
    archive = edited(chain, height, lambda block, _: setattr(block, "parent_certificate", wrong))
    assert await found(archive, zone) == (height, "parent_certificate")


async def test_the_first_block_of_an_epoch_brings_the_finality_of_the_one_before(zone: Zone) -> None:
    chain = Chain(zone)
    await chain.add()
    await chain.add()
    await chain.pass_edge()
    await chain.add(is_lazy=True)
    assert await found(chain.archive(), zone) == (4, "finalization")


async def test_a_claimed_balance_is_named_with_what_it_should_be(chain: Chain, zone: Zone) -> None:
    leaves = chain.leaves()
    leaf = next(leaf for leaf in leaves if leaf.namespace == Namespace.ACCOUNT)
    account = AccountLeaf.FromString(leaf.value)
    before = leaf.value
    account.balance_minor += 1
    leaf.value = account.SerializeToString(deterministic=True)
    chain.certify()
    with pytest.raises(Diverged) as caught:
        await verify(write(zone.genesis, chain.blocks, leaves), zone)
    divergence = caught.value
    assert (divergence.height, divergence.key) == (len(chain.blocks), f"account/{account.account.hex()}")
    assert (divergence.expected, divergence.found) == (before.hex(), leaf.value.hex())


async def test_leaves_that_are_missing_invented_or_out_of_order_are_named(chain: Chain, zone: Zone) -> None:
    leaves = chain.leaves()
    chain.certify()
    last = leaves[-1]
    name = f"{Namespace(last.namespace).name.lower()}/{last.identifier.hex()}"
    height = len(chain.blocks)
    assert await found(write(zone.genesis, chain.blocks, leaves[:-1]), zone) == (height, name)
    assert await found(write(zone.genesis, chain.blocks, [*leaves, last]), zone) == (height, name)
    invented = pb.ArchivedLeaf(namespace=3, identifier=bytes(16), value=b"")
    _, key = await found(write(zone.genesis, chain.blocks, [invented, *leaves]), zone)
    assert key == f"account/{bytes(16).hex()}"
    unknown = pb.ArchivedLeaf(namespace=999)
    _, key = await found(write(zone.genesis, chain.blocks, [unknown, *leaves]), zone)
    assert key.startswith("chunk/")


async def test_more_or_fewer_blocks_than_the_head_says_are_noticed(chain: Chain, zone: Zone) -> None:
    chain.certify()
    height = len(chain.blocks)
    short = write(zone.genesis, chain.blocks, chain.leaves(), height=height + 1)
    assert (await found(short, zone))[1] == "head"
    long = write(zone.genesis, chain.blocks, chain.leaves(), height=height - 1)
    assert (await found(long, zone))[1] == "head"


async def test_bytes_behind_the_end_are_noticed_by_who_stops_at_the_end(chain: Chain, zone: Zone) -> None:
    """A verifier that had taken the end asked for nothing more, and what followed was never looked at."""
    _, key = await found(chain.archive() + b"\0", zone)
    assert key.startswith("chunk/")


async def rekeyed(zone: Zone, signs_with_the_old_key: bool) -> bytes:
    """A member changes its key in one block, and signs with the new or the old one in those behind it."""
    chain = Chain(zone)
    shop = zone.organizations[0]
    member = zone.member("ana", shop, keys=2)

    async def add(
        message: Message, *keys: TestKey, actor: Member = member, others: Sequence[Message] = ()
    ) -> None:
        later_ms = chain.ledger.state.newest.time_ms + 1_000
        beside = [zone.transaction(shop, one, time_ms=later_ms) for one in others]
        await chain.add(zone.transaction(actor, message, keys=keys, time_ms=later_ms), *beside)

    old, new = member.keys
    await add(open_controller(member, keys=[old]), *shop.keys, actor=shop)
    await add(anchor(bytes([1]) * 32), old)
    await add(update_controller(1, new), old)
    await add(anchor(bytes([2]) * 32), new, others=[anchor(bytes([4]) * 32)])
    await add(anchor(bytes([3]) * 32), old if signs_with_the_old_key else new)
    return chain.archive()


async def test_who_changes_its_key_is_judged_by_the_keys_of_each_block(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def counting(items: Sequence[SignedItem]) -> list[bool]:
        batches.append(len(items))
        return verify_batch(items)

    monkeypatch.setattr(verify_module, "verify_batch", counting)
    assert (await verify(await rekeyed(zone, signs_with_the_old_key=False), zone)).heights == 5
    if accelerator is None:
        assert batches == [1, 1, 1, 2, 1], "block by block: a batch saves nothing"
    else:
        assert batches == [1, 3, 1, 1], "a batch ends before a block of strangers; a new key is no part of it"
    assert await found(await rekeyed(make_zone(), signs_with_the_old_key=True), zone) == (5, "transactions")


def test_blocks_are_verified_together_up_to_so_many_bytes() -> None:
    half = pb.ArchivedBlock(block=bytes(BLOCKS_BYTES // 2))
    less = pb.ArchivedBlock(block=bytes(BLOCKS_BYTES // 2 - 1))
    assert [len(some) for some in in_batches([half, half, half])] == [2, 1]
    assert [len(some) for some in in_batches([half, less, half])] == [3]
    assert list(in_batches([])) == []
