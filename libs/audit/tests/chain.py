"""Archives of chains that the seats of the test zone have signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any

from icn.audit.v1 import archive_pb2 as pb
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, VOTE_KIND_NOTARIZE, Block, BlockHeader
from icn_audit.archive import ArchiveWriter, BlockChunks, Kind
from icn_audit.verify import Report, verify_archive
from icn_crypto.state_tree import state_key
from icn_kit.genesis import Genesis
from icn_machine.blocks.contract_engine import ContractEngine
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.leaves import encode_leaf

from libs.machine.tests.certificates import GENESIS_KEYS, QUORUM, certificate
from libs.machine.tests.zone import EPOCH_MS, Zone, memory_ledger


class Chain:
    """A chain that grows block by block, each with the finality of the one before."""

    def __init__(self, zone: Zone, contracts: ContractEngine | None = None) -> None:
        self.zone = zone
        self.ledger = memory_ledger(zone, contracts)
        self.signers: Sequence[int] = QUORUM
        self.keys: dict[int, Mapping[int, str]] = {}
        """Keys other than those of genesis, by seat, from the epoch on."""
        self.blocks: list[pb.ArchivedBlock] = []
        self.headers: list[bytes] = []

    async def add(
        self,
        *transactions: bytes,
        signers: Sequence[int] | None = None,
        is_lazy: bool = False,
        **changes: Any,
    ) -> None:
        """Execute the next block; a lazy one carries no finalization."""
        newest = self.ledger.state.newest
        parent = self.signed(VOTE_KIND_NOTARIZE, newest.header, signers) if newest.height else b""
        final = b""
        if newest.height and not is_lazy:
            final = self.signed(VOTE_KIND_FINALIZE, newest.header)
        if is_lazy:
            changes["named"] = await self.ledger.state.block_at(
                BlockHeader.FromString(newest.header).executed_height
            )
        changes.setdefault("protocol_version", await self.ledger.protocol_version())
        header = self.ledger.header(
            transactions,
            parent_certificate_digest=sha256(parent).digest() if parent else bytes(32),
            finalization_digest=sha256(final).digest() if final else bytes(32),
            **changes,
        )
        await self.ledger.executor.execute(FinalBlock(header, transactions, b"\x08\x03", (), parent))
        block = Block(
            header=header, transactions=transactions, parent_certificate=parent, finalization=final
        ).SerializeToString(deterministic=True)
        if self.headers and _epoch(self.headers[-1]) != _epoch(header):
            self.certify()
        self.blocks.append(pb.ArchivedBlock(block=block))
        self.headers.append(header)

    async def pass_edge(self) -> None:
        """An edge block, after which another epoch has begun."""
        await self.add(after_ms=EPOCH_MS)

    def signed(self, kind: int, header: bytes, signers: Sequence[int] | None = None) -> bytes:
        """What the seats of the block's epoch have signed of it."""
        since = max((epoch for epoch in self.keys if epoch <= _epoch(header)), default=None)
        keys = GENESIS_KEYS if since is None else self.keys[since]
        return certificate(self.zone, kind, header, self.signers if signers is None else signers, keys)

    def certify(self) -> None:
        """Put the finality of the newest block into the archive."""
        self.blocks[-1].finalization = self.signed(VOTE_KIND_FINALIZE, self.headers[-1])

    def leaves(self) -> list[pb.ArchivedLeaf]:
        """Of the newest state, ascending by state key."""
        records = self.ledger.state.records[-1]  # type: ignore[attr-defined]
        found = [
            pb.ArchivedLeaf(namespace=namespace, identifier=identifier, value=encode_leaf(namespace, record))
            for namespace, identifier, record in records
            if record is not None
        ]
        return sorted(found, key=lambda leaf: state_key(leaf.namespace, leaf.identifier))

    def archive(self) -> bytes:
        """Everything so far."""
        self.certify()
        return write(self.zone.genesis, self.blocks, self.leaves())


def _epoch(header: bytes) -> int:
    return BlockHeader.FromString(header).epoch


def write(
    genesis: Genesis,
    blocks: Sequence[pb.ArchivedBlock],
    leaves: Sequence[pb.ArchivedLeaf],
    *,
    leaves_per_chunk: int = 50,
    **head: Any,
) -> bytes:
    """An archive of these blocks and leaves, whatever they are."""
    writer, chunks = ArchiveWriter(), BlockChunks()
    fields = {"genesis_hash": genesis.hash, "height": len(blocks), **head}
    parts = [writer.first_line(), writer.chunk(Kind.HEAD, pb.ArchiveHead(**fields))]
    for block in blocks:
        parts += [writer.chunk(Kind.BLOCKS, chunk) for chunk in chunks.add(block)]
    parts += [writer.chunk(Kind.BLOCKS, chunk) for chunk in chunks.rest()]
    for start in range(0, len(leaves), leaves_per_chunk):
        some = pb.ArchivedLeaves(leaves=leaves[start : start + leaves_per_chunk])
        parts.append(writer.chunk(Kind.LEAVES, some))
    parts.append(writer.chunk(Kind.END, pb.ArchiveEnd(blocks=len(blocks), leaves=len(leaves))))
    return b"".join(parts)


async def verify(archive: bytes, zone: Zone) -> Report:
    """Verify an archive as the command does."""
    return await verify_archive(BytesIO(archive), zone.genesis)
