"""Whatever of an archive is another, it is found or means nothing: no crash, no hang, no room for the rest.

Of a chain in which every kind of message takes effect. Who changes a file can make all its digests and all
roots of a block anew; what cannot be made anew are signatures.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from icn.audit.v1 import archive_pb2 as pb
from icn.consensus.v1.block_pb2 import Block, BlockHeader
from icn.ledger.v1 import transaction_pb2 as ledger_pb
from icn_audit.archive import (
    BLOCKS_PER_CHUNK_MAX,
    CONTENT_BYTES_MAX,
    FIRST_LINE,
    LEAVES_PER_CHUNK_MAX,
    Kind,
    read_chunks,
    read_fields,
    read_frames,
)
from icn_audit.divergence import SHOWN_BYTES_MAX, Diverged, hexadecimal
from icn_audit.periods import NOTES_MAX, note_ends
from icn_audit.verify import Report, verify_archive
from icn_chain.block import transactions_root
from icn_chain.certificate import certificate_digest
from icn_chain.envelope import MESSAGES_MAX, TRANSACTION_BYTES_MAX
from icn_crypto.wire import MalformedBytes
from icn_machine.blocks.final_block import DESCENDANTS_MAX
from icn_machine.messages import KIND_NUMBERS

from libs.audit.tests.chain import Chain
from libs.audit.tests.everything import Everything, kinds_in_effect
from libs.machine.tests.credit_messages import close_period, legs
from libs.machine.tests.zone import make_zone

CPU_SECONDS_MAX = 20
"""A hundred times what the whole archive takes: a change must not make it endless."""
MEMORY_BYTES_MAX = 128 * 1024 * 1024
"""As docs/spec/audit.md says."""

Sealed = list[tuple[int, bytes]]
"""Kind and content of each chunk."""
Edit = Callable[[bytes], bytes]


@cache
def chain() -> Chain:
    return asyncio.run(Everything(make_zone()).play())


@cache
def archive() -> bytes:
    return chain().archive()


@cache
def unsealed() -> tuple[tuple[int, bytes], ...]:
    return tuple((kind, content) for _, kind, content in read_frames(BytesIO(archive()).read))


def seal(chunks: Sequence[tuple[int, bytes]]) -> bytes:
    """A file of these chunks, numbers and digests as they have to be."""
    digest = sha256(FIRST_LINE).digest()
    parts = [FIRST_LINE]
    for number, (kind, content) in enumerate(chunks):
        head = number.to_bytes(4, "big") + bytes([kind]) + len(content).to_bytes(4, "big")
        digest = sha256(digest + head + content).digest()
        parts += [head, content, digest]
    return b"".join(parts)


def outcome(data: bytes) -> Report | Diverged:
    """What the verifier says. Anything that is raised and no divergence fails the test."""
    started = time.process_time()
    try:
        found: Report | Diverged = asyncio.run(verify_archive(BytesIO(data), chain().zone.genesis))
    except Diverged as divergence:
        found = divergence
    assert time.process_time() - started < CPU_SECONDS_MAX
    return found


def refused(data: bytes) -> Diverged:
    """The divergence."""
    found = outcome(data)
    if isinstance(found, Report):
        pytest.fail("an archive that says something else is valid")
    return found


def edits() -> st.SearchStrategy[Edit]:
    """Something done to bytes; places are shares of their length, so that it fits any."""
    share = st.floats(0, 1, exclude_max=True)

    def place(data: bytes, at: float) -> int:
        return int(at * len(data))

    def flip(at: float, mask: int) -> Edit:
        def act(data: bytes) -> bytes:
            where = place(data, at)
            return data[:where] + bytes([data[where] ^ mask]) + data[where + 1 :] if data else data

        return act

    def cut(at: float, count: int) -> Edit:
        return lambda data: data[: place(data, at)] + data[place(data, at) + count :]

    def truncate(at: float) -> Edit:
        return lambda data: data[: place(data, at)]

    def repeat(at: float, count: int) -> Edit:
        return lambda data: data[: place(data, at) + count] + data[place(data, at) :]

    def swap(at: float, then: float, count: int) -> Edit:
        def act(data: bytes) -> bytes:
            one, other = sorted((place(data, at), place(data, then)))
            return (
                data[:one]
                + data[other : other + count]
                + data[one + count : other]
                + data[one : one + count]
                + data[other + count :]
            )

        return act

    def insert(at: float, more: bytes) -> Edit:
        return lambda data: data[: place(data, at)] + more + data[place(data, at) :]

    count = st.integers(1, 200)
    return st.one_of(
        st.builds(flip, share, st.integers(1, 255)),
        st.builds(cut, share, count),
        st.builds(truncate, share),
        st.builds(repeat, share, count),
        st.builds(swap, share, share, count),
        st.builds(insert, share, st.binary(min_size=1, max_size=40)),
    )


def reordered(data: st.DataObject, items: Sequence[Any]) -> list[Any]:
    """The items, some left out, twice, or elsewhere."""
    made = list(items)
    for _ in range(data.draw(st.integers(1, 3))):
        if not made:
            break
        at, then = (data.draw(st.integers(0, len(made) - 1)) for _ in range(2))
        what = data.draw(st.sampled_from(["drop", "repeat", "move", "swap"]))
        if what == "drop":
            del made[at]
        elif what == "repeat":
            made.insert(then, made[at])
        elif what == "move":
            made.insert(then, made.pop(at))
        else:
            made[at], made[then] = made[then], made[at]
    return made


def test_every_kind_of_message_takes_effect_in_the_chain_that_is_changed() -> None:
    assert set(KIND_NUMBERS) <= kinds_in_effect(chain())
    report = outcome(archive())
    assert isinstance(report, Report)
    assert (report.heights, report.periods.closed) == (len(chain().blocks), 2)
    assert seal(unsealed()) == archive()


@settings(max_examples=80)
@given(some=st.lists(edits(), min_size=1, max_size=3))
def test_a_file_with_other_bytes_is_found(some: list[Edit]) -> None:
    data = archive()
    for edit in some:
        data = edit(data)
    assume(data != archive())
    found = refused(data)
    assert found.key.startswith("chunk/")


@settings(max_examples=80)
@given(which=st.integers(0, 10**6), some=st.lists(edits(), min_size=1, max_size=2))
def test_a_chunk_with_other_bytes_is_found_though_all_digests_are_made_anew(
    which: int, some: list[Edit]
) -> None:
    chunks: Sealed = list(unsealed())
    at = which % len(chunks)
    kind, before = chunks[at]
    content = before
    for edit in some:
        content = edit(content)
    assume(content != before)
    chunks[at] = kind, content
    refused(seal(chunks))


@settings(max_examples=40)
@given(data=st.data())
def test_chunks_in_another_order_are_found_though_all_digests_are_made_anew(data: st.DataObject) -> None:
    chunks = reordered(data, unsealed())
    kinds = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 255]), max_size=1))
    if kinds and chunks:
        chunks[0] = kinds[0], chunks[0][1]
    assume(tuple(chunks) != unsealed())
    refused(seal(chunks))


def contents(kind: Kind) -> Iterator[Any]:
    for chunk in read_chunks(BytesIO(archive()).read):
        if chunk.kind is kind:
            yield from chunk.message.blocks if kind is Kind.BLOCKS else chunk.message.leaves


def packed(kind: Kind, items: Sequence[Any], per_chunk: int) -> Sealed:
    made: Sealed = []
    for start in range(0, len(items), per_chunk):
        some = items[start : start + per_chunk]
        message = pb.ArchivedBlocks(blocks=some) if kind is Kind.BLOCKS else pb.ArchivedLeaves(leaves=some)
        made.append((kind, message.SerializeToString(deterministic=True)))
    return made


@settings(max_examples=40)
@given(data=st.data(), is_of_blocks=st.booleans(), blocks=st.integers(1, 70), leaves=st.integers(1, 100))
def test_only_how_blocks_and_leaves_lie_in_chunks_means_nothing(
    data: st.DataObject, is_of_blocks: bool, blocks: int, leaves: int
) -> None:
    of = {kind: list(contents(kind)) for kind in (Kind.BLOCKS, Kind.LEAVES)}
    kind = Kind.BLOCKS if is_of_blocks else Kind.LEAVES
    before = of[kind]
    of[kind] = reordered(data, before)
    head, end = unsealed()[0], unsealed()[-1]
    sealed = seal(
        [
            head,
            *packed(Kind.BLOCKS, of[Kind.BLOCKS], blocks),
            *packed(Kind.LEAVES, of[Kind.LEAVES], leaves),
            end,
        ]
    )
    fits = min(blocks, len(of[Kind.BLOCKS])) <= BLOCKS_PER_CHUNK_MAX
    if of[kind] == before and fits:
        assert outcome(sealed) == outcome(archive())
    else:
        refused(sealed)


@settings(max_examples=80)
@given(data=st.data(), which=st.integers(0, 10**6))
def test_a_block_that_is_another_is_found_though_its_header_names_what_is_in_it(
    data: st.DataObject, which: int
) -> None:
    """Nobody signed it. Header, transactions and certificates, one of them or their order."""
    archived = list(contents(Kind.BLOCKS))
    at = which % len(archived)
    before = Block.FromString(archived[at].block)
    block = Block.FromString(archived[at].block)
    part = data.draw(
        st.sampled_from(["header", "transaction", "order", "parent_certificate", "finalization"])
    )
    if part == "order":
        del block.transactions[:]
        block.transactions.extend(reordered(data, before.transactions))
    elif part == "transaction":
        assume(before.transactions)
        place = data.draw(st.integers(0, len(before.transactions) - 1))
        block.transactions[place] = data.draw(edits())(before.transactions[place])
    else:
        setattr(block, part, data.draw(edits())(getattr(before, part)))
    assume(block != before)
    if part != "header":
        header = BlockHeader.FromString(block.header)
        header.transactions_root = transactions_root(block.transactions)
        header.parent_certificate_digest = certificate_digest(block.parent_certificate)
        header.finalization_digest = certificate_digest(block.finalization)
        block.header = header.SerializeToString(deterministic=True)
    archived[at].block = block.SerializeToString(deterministic=True)
    chunks = [chunk for chunk in unsealed() if chunk[0] != Kind.BLOCKS]
    found = refused(seal([chunks[0], *packed(Kind.BLOCKS, archived, BLOCKS_PER_CHUNK_MAX), *chunks[1:]]))
    assert found.height in (at + 1, at + 2), "it, or the certificate of the block behind it"


@settings(max_examples=60)
@given(contents=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=200)), max_size=6))
@example(contents=[(1, b""), (4, b"")])
def test_chunks_of_any_bytes_are_refused_by_name(contents: Sealed) -> None:
    refused(seal(contents))
    refused(seal([unsealed()[0], *contents]))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    length, rest = b"", len(content)
    while rest > 0x7F:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def many(entry: bytes, beside: int = 32) -> bytes:
    """As many of them as a chunk holds, but for what is around them."""
    return entry * ((CONTENT_BYTES_MAX - beside) // len(entry))


LARGE = bytes(CONTENT_BYTES_MAX - 64)
EMPTY_BLOCK, EMPTY_LEAF, EMPTY_HEADER, EMPTY_TRANSACTION = b"\x0a\x00", b"\x0a\x00", b"\x1a\x00", b"\x12\x00"


def closing_transactions() -> Iterator[bytes]:
    """That say of more different periods than are noted that they are over; nobody signed them."""
    signature = ledger_pb.Signature(suite=1, key_id=bytes(16), signature=bytes(64))
    for start in range(0, NOTES_MAX + MESSAGES_MAX, MESSAGES_MAX):
        body = ledger_pb.TransactionBody(
            principal=start.to_bytes(16, "big"),
            payer=bytes(15) + b"\1",
            sequence=1,
            expire_time_ms=1,
            messages=[
                close_period(number.to_bytes(16, "big"), 10**15 + number)
                for number in range(start + 1, start + 1 + MESSAGES_MAX)
            ],
        )
        yield ledger_pb.Transaction(
            body=body.SerializeToString(deterministic=True), signatures=[signature]
        ).SerializeToString(deterministic=True)


def blocks_of_legs() -> Iterator[bytes]:
    """As large as blocks may be, and full of the smallest messages that can be read; nobody signed them."""
    bytes_max = chain().zone.genesis.limits.bytes_max
    signature = ledger_pb.Signature(suite=1, key_id=bytes(16), signature=bytes(64))
    pairs = [(number.to_bytes(16, "big"), (number + 1).to_bytes(16, "big")) for number in range(64)]
    message = legs(*[(source, destination, 1) for source, destination in pairs[1:]])
    for height in range(1, CONTENT_BYTES_MAX // bytes_max):
        block = Block.FromString(chain().blocks[0].block)
        del block.transactions[:]
        while block.ByteSize() < bytes_max - TRANSACTION_BYTES_MAX:
            body = ledger_pb.TransactionBody(
                principal=bytes(15) + b"\1",
                payer=bytes(15) + b"\1",
                sequence=height * 1_000 + len(block.transactions),
                expire_time_ms=1,
                messages=[message] * MESSAGES_MAX,
            ).SerializeToString(deterministic=True)
            made = ledger_pb.Transaction(body=body, signatures=[signature])
            block.transactions.append(made.SerializeToString(deterministic=True))
        header = BlockHeader.FromString(block.header)
        header.transactions_root = transactions_root(block.transactions)
        block.header = header.SerializeToString(deterministic=True)
        yield block.SerializeToString(deterministic=True)


CLOSING = field(1, bytes(16)) + b"\x10\x05" + field(3, bytes(32))
HOSTILE: dict[str, tuple[int, Callable[[], tuple[int, bytes]]]] = {
    "blocks": (1, lambda: (2, many(EMPTY_BLOCK, 0))),
    "leaves": (0, lambda: (3, many(EMPTY_LEAF, 0))),
    "headers": (1, lambda: (2, field(1, many(EMPTY_HEADER)))),
    "transactions": (1, lambda: (2, field(1, field(1, many(EMPTY_TRANSACTION))))),
    "closings": (1, lambda: (2, field(1, field(1, many(field(2, CLOSING)))))),
    "notes": (1, lambda: (2, field(1, field(1, b"".join(field(2, one) for one in closing_transactions()))))),
    "legs": (15, lambda: (2, b"".join(field(1, field(1, one)) for one in blocks_of_legs()))),
    "value": (0, lambda: (3, field(1, b"\x08\x03" + field(3, LARGE)))),
    "identifier": (0, lambda: (3, field(1, b"\x08\x03" + field(2, LARGE)))),
    "unknown": (1, lambda: (2, many(b"\x7a\x00"))),
    "head": (0, lambda: (1, many(b"\x7a\x00"))),
}
"""By what a chunk is full of: height that the head says, and the chunk behind it."""


def test_no_chunk_has_the_verifier_take_more_memory_than_is_said(tmp_path: Path) -> None:
    """And the whole archive of everything fits with it, state and all."""
    genesis_hash = chain().zone.genesis.hash
    paths = [tmp_path / "whole"]
    paths[0].write_bytes(archive())
    for name, (height, made) in HOSTILE.items():
        head = pb.ArchiveHead(genesis_hash=genesis_hash, height=height).SerializeToString(deterministic=True)
        paths.append(tmp_path / name)
        paths[-1].write_bytes(seal([(Kind.HEAD, head), made()]))
    ran = subprocess.run(
        [sys.executable, "-m", "libs.audit.tests.verify_within", str(MEMORY_BYTES_MAX), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = dict(zip(["whole", *HOSTILE], ran.stdout.splitlines(), strict=True))
    account = f"account/{'00' * 16}"
    assert told == {
        "whole": str(len(chain().blocks)),
        "blocks": "chunk/1",
        "leaves": "chunk/1",
        "headers": "chunk/1",
        "transactions": "header",
        "closings": "header",
        "notes": "header",
        "legs": "transactions",
        "value": "account/",
        "identifier": account.ljust(80, "0"),
        "unknown": "chunk/1",
        "head": "chunk/1",
    }


def test_of_periods_that_are_closed_so_many_are_noted_at_most() -> None:
    height, made = HOSTILE["notes"]
    head = pb.ArchiveHead(genesis_hash=bytes(32), height=height).SerializeToString(deterministic=True)
    notes = note_ends(BytesIO(seal([(Kind.HEAD, head), made()])).read, chain().zone.genesis.hash)
    assert len(set(notes)) == len(notes) == NOTES_MAX


def test_of_a_leaf_no_more_is_told_than_can_be_read() -> None:
    whole = bytes(SHOWN_BYTES_MAX)
    assert hexadecimal(whole) == whole.hex()
    assert hexadecimal(whole + b"\1\2") == whole.hex() + "… and 2 more bytes"


@pytest.mark.parametrize(
    ("kind", "one", "most"),
    [(Kind.BLOCKS, EMPTY_BLOCK, BLOCKS_PER_CHUNK_MAX), (Kind.LEAVES, EMPTY_LEAF, LEAVES_PER_CHUNK_MAX)],
)
def test_a_chunk_holds_one_entry_at_least_and_so_many_at_most(kind: Kind, one: bytes, most: int) -> None:
    def read(count: int) -> int:
        *_, chunk = islice(read_chunks(BytesIO(seal([unsealed()[0], (kind, one * count)])).read), 2)
        return len(chunk.message.blocks if kind is Kind.BLOCKS else chunk.message.leaves)

    assert [read(count) for count in (1, most)] == [1, most]
    for count, told in ((0, "none"), (most + 1, "more")):
        with pytest.raises(Diverged) as caught:
            read(count)
        assert (caught.value.key, caught.value.found) == ("chunk/1", told)
        assert caught.value.expected == f"1 to {most} {kind.name.lower()}"


def test_a_block_brings_so_many_headers_at_most() -> None:
    def read(headers: int) -> None:
        archived = pb.ArchivedBlock(block=b"b", finalization=b"f", descendant_headers=[b"h"] * headers)
        chunk = pb.ArchivedBlocks(blocks=[archived]).SerializeToString(deterministic=True)
        list(islice(read_chunks(BytesIO(seal([unsealed()[0], (Kind.BLOCKS, chunk)])).read), 2))

    read(DESCENDANTS_MAX)
    with pytest.raises(Diverged) as caught:
        read(DESCENDANTS_MAX + 1)
    assert caught.value.expected == f"at most {DESCENDANTS_MAX} headers behind a block"


@pytest.mark.parametrize("kind", [Kind.HEAD, Kind.END])
def test_head_and_end_are_short(kind: Kind) -> None:
    before = [] if kind is Kind.HEAD else list(unsealed()[:1])
    with pytest.raises(Diverged) as caught:
        list(read_frames(BytesIO(seal([*before, (kind, bytes(65))])).read))
    assert (caught.value.expected, caught.value.found) == ("at most 64 bytes", "65 bytes")
    assert len(list(islice(read_frames(BytesIO(seal([*before, (kind, bytes(64))])).read), 1))) == 1


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x80", b"\x0a\x02a", b"\x08\x00", b"\x8a\x01\x00", b"\x0a" + b"\xff" * 6]
)
def test_what_is_no_list_of_fields_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedBytes):
        list(read_fields(data, 0, len(data)))
