"""Making an archive of the zone's blocks, from one validator. Source: docs/spec/audit.md, "Archive"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from icn.audit.v1 import archive_pb2
from icn.consensus.v1 import block_pb2
from icn.consensus.v1.service_pb2 import GetFinalityRequest, ListFinalBlocksRequest
from icn.ledger.v1.service_pb2 import StreamLeavesRequest
from icn_audit.archive import LEAVES_PER_CHUNK_MAX, ArchiveWriter, BlockChunks, Kind
from icn_kit.errors import DomainError, FailedPrecondition, Unavailable, from_rpc_error

from icn_client.connection import ask

if TYPE_CHECKING:
    from icn_client.connection import Connection, ValidatorAddress

STREAM_SECONDS_MAX: Final = 3_600.0
"""For all leaves; a million take a minute or two."""
PAGE_SECONDS_MAX: Final = 30.0
"""For a mebibyte of blocks, from a validator that has other things to do."""


class Archived(NamedTuple):
    """What an archive holds."""

    heights: int
    leaves: int
    size_bytes: int


class NobodyHasAll(FailedPrecondition):
    """No validator has every block from the first on, or none answers."""

    def __init__(self, problems: str) -> None:
        super().__init__("HISTORY_MISSING", f"no validator gave all blocks and leaves: {problems}")


async def write_archive(
    connection: Connection, out: IO[bytes], on_block: Callable[[int, int], None] = lambda _height, _last: None
) -> Archived:
    """Write an archive of all blocks that are executed by now.

    Args:
        connection: to the validators.
        out: a new file; what is in it when this raises is of no use.
        on_block: told of every block: its height and that of the last one.

    Raises:
        NobodyHasAll: see there.
    """
    if connection.network.is_remote:
        raise FailedPrecondition(
            "NO_GATEWAY", "an archive is made of what validators have: a gateway does not pass that on"
        )
    problems = []
    for address in connection.network.validators:
        out.seek(0)
        out.truncate()
        try:
            return await _write_from(connection, address, out, on_block)
        except DomainError as error:
            problems.append(f"{address.consensus}: {error.reason}: {error.message}")
        except DecodeError as error:
            problems.append(f"{address.consensus}: it answers with what is no block: {error}")
    raise NobodyHasAll("; ".join(problems) or "the network file names none")


async def _write_from(
    connection: Connection, address: ValidatorAddress, out: IO[bytes], on_block: Callable[[int, int], None]
) -> Archived:
    status = await connection.status(address)
    if status.genesis_hash != connection.genesis.hash:
        raise FailedPrecondition("WRONG_ZONE", f"it is of zone {status.genesis_hash.hex()}")
    height = status.executed_height
    # Whether it has all blocks shows with the first, and reading the leaves takes longest.
    await _page(connection.consensus(address), 1)
    writer = ArchiveWriter()
    out.write(writer.first_line())
    head = archive_pb2.ArchiveHead(genesis_hash=connection.genesis.hash, height=height)
    out.write(writer.chunk(Kind.HEAD, head))
    with TemporaryFile() as spool:
        # The leaves come last, and are read first: the state of a height is not kept for ever.
        leaves, sizes = 0, []
        async for part in _leaves(connection.ledger(address), height):
            sizes.append(spool.write(part.SerializeToString(deterministic=True)))
            leaves += len(part.leaves)
        async for chunk in _blocks(connection.consensus(address), height, on_block):
            out.write(writer.chunk(Kind.BLOCKS, chunk))
        spool.seek(0)
        for size in sizes:
            out.write(writer.chunk(Kind.LEAVES, archive_pb2.ArchivedLeaves.FromString(spool.read(size))))
    out.write(writer.chunk(Kind.END, archive_pb2.ArchiveEnd(blocks=height, leaves=leaves)))
    return Archived(height, leaves, out.tell())


async def _leaves(stub: Any, height: int) -> AsyncIterator[archive_pb2.ArchivedLeaves]:
    try:
        async for part in stub.StreamLeaves(StreamLeavesRequest(height=height), timeout=STREAM_SECONDS_MAX):
            leaves = [
                archive_pb2.ArchivedLeaf(
                    namespace=leaf.namespace, identifier=leaf.identifier, value=leaf.value
                )
                for leaf in part.leaves
            ]
            for start in range(0, len(leaves), LEAVES_PER_CHUNK_MAX):
                yield archive_pb2.ArchivedLeaves(leaves=leaves[start : start + LEAVES_PER_CHUNK_MAX])
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


async def _blocks(
    stub: Any, height: int, on_block: Callable[[int, int], None]
) -> AsyncIterator[archive_pb2.ArchivedBlocks]:
    """Blocks 1 to the height; whether one is the last of its epoch shows with the next."""
    chunks = BlockChunks()
    last = archive_pb2.ArchivedBlock()
    last_epoch = 0
    at = 0
    while at < height:
        answer = await _page(stub, at + 1)
        if not answer.blocks:
            raise Unavailable("HISTORY_MISSING", f"it executed {height} and has no block {at + 1}")
        for data in answer.blocks[: height - at]:
            epoch = block_pb2.BlockHeader.FromString(block_pb2.Block.FromString(data).header).epoch
            if at:
                if epoch != last_epoch:
                    await _add_finality(stub, at, last)
                for chunk in chunks.add(last):
                    yield chunk
            at, last, last_epoch = at + 1, archive_pb2.ArchivedBlock(block=data), epoch
            on_block(at, height)
    if at:
        await _add_finality(stub, at, last)
        for chunk in chunks.add(last):
            yield chunk
    for chunk in chunks.rest():
        yield chunk


async def _page(stub: Any, from_height: int) -> Any:
    request = ListFinalBlocksRequest(from_height=from_height)
    return await ask(stub.ListFinalBlocks(request, timeout=PAGE_SECONDS_MAX))


async def _add_finality(stub: Any, height: int, block: archive_pb2.ArchivedBlock) -> None:
    answer = await ask(stub.GetFinality(GetFinalityRequest(height=height), timeout=PAGE_SECONDS_MAX))
    block.finalization = answer.finalization
    block.descendant_headers.extend(answer.descendant_headers)
