"""Executing an archive's blocks again, each by the rules of its time.

Source: docs/spec/audit.md, "Verification".
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple

from icn.audit.v1 import archive_pb2
from icn_chain.block import Block, parse_block
from icn_chain.certificate import Certificate, VoteKind, parse_certificate
from icn_chain.epochs import (
    EpochSet,
    ProofInvalid,
    check_certificate,
    check_finalization,
    check_quorum,
    read_chain,
)
from icn_chain.header import BlockHeader, parse_header
from icn_chain.malformed import MalformedMessage
from icn_chain.protocols import KNOWN_PROTOCOLS, NEWEST_PROTOCOL, unknown_protocol
from icn_chain.validator_set import parse_validator_set
from icn_crypto.ed25519 import Verdict
from icn_crypto.native import accelerator
from icn_crypto.state_tree import state_key
from icn_crypto.suites import SignedItem, verify_batch
from icn_kit.errors import DomainError, FailedPrecondition
from icn_kit.genesis import Genesis
from icn_machine.authority import AuthorityFault, signing_keys
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.branches import Branch, BranchCache
from icn_machine.blocks.contract_engine import ContractEngine
from icn_machine.blocks.execute_block import Execution, Executor, Halted
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.blocks.validate_block import validate_block
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.leaves import encode_leaf
from icn_machine.messages import Transaction
from icn_machine.records import Namespace
from icn_machine.refusals import Malformed
from icn_machine.validity import Moment

from icn_audit.archive import Kind, in_batches, read_chunks
from icn_audit.contracts import InProcessContracts
from icn_audit.divergence import Diverged, hexadecimal
from icn_audit.periods import Note, PeriodCheck, PeriodFindings, note_ends
from icn_audit.state import ReplayedState

COLLECTED_OBJECTS: Final = 50_000
"""Made since the last time; 700 by default."""
_UNSEEN: Final = b"\0"
"""In place of a certificate that only whoever executes for consensus keeps."""


OnExecuted = Callable[[FinalBlock, Execution, TransactionCache], Awaitable[None]]


class Report(NamedTuple):
    """What an archive shows."""

    heights: int
    transfers: int
    state_root: bytes
    periods: PeriodFindings
    """What is wrong without making the archive so."""


async def verify_archive(
    archive: IO[bytes],
    genesis: Genesis,
    *,
    contracts: ContractEngine | None = None,
    on_block: Callable[[int, int], None] = lambda _height, _last: None,
    on_executed: OnExecuted | None = None,
) -> Report:
    """Execute an archive again.

    Args:
        archive: where it begins; read twice, once where it cannot be: then no closing is recomputed.
        genesis: the verifier's own.
        contracts: runs contracts; in this process where left out.
        on_block: told of every block that held: its height and that of the last one.
        on_executed: told of every block that held, with what it left and who has read its transactions.

    Raises:
        Diverged: the first thing that is not as the archive says.
        FailedPrecondition: PROTOCOL_VERSION_UNKNOWN: a newer release has to verify what follows.
    """
    notes: Sequence[Note] = ()
    if archive.seekable():
        start = archive.tell()
        notes = note_ends(archive.read, genesis.hash)
        archive.seek(start)
    auditor = Auditor(genesis, contracts or InProcessContracts(genesis.hash), on_executed, notes)
    for chunk in read_chunks(archive.read):
        match chunk.kind:
            case Kind.HEAD:
                auditor.begin(chunk.message)
            case Kind.BLOCKS:
                for some in in_batches(chunk.message.blocks):
                    async for height in auditor.add(some):
                        on_block(height, auditor.height_last)
            case Kind.LEAVES:
                auditor.compare(chunk.message.leaves, f"chunk/{chunk.number}")
            case Kind.END:
                return auditor.finish(chunk.message)
    raise AssertionError("the last chunk is an end")


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for garbage seldom: for a process that does nothing but verify, which makes objects by the
    million and no cycles; it takes a tenth less (benches/audit.py)."""
    thresholds = gc.get_threshold()
    gc.set_threshold(COLLECTED_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def leaf_name(namespace: Namespace, identifier: bytes) -> str:
    """What a leaf is called in a divergence."""
    return f"{namespace.name.lower()}/{hexadecimal(identifier)}"


async def _verify(items: Sequence[SignedItem]) -> list[Verdict]:
    """In batches, which do not tell who is valid with the cofactor only."""
    valid = verify_batch(items)
    if all(valid):
        return [Verdict.VALID] * len(valid)
    return [Verdict.VALID if is_valid else Verdict.INVALID for is_valid in valid]


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A block that was executed, with the finality that came with it."""

    header: BlockHeader
    archived: archive_pb2.ArchivedBlock


class Auditor:
    """Takes what an archive holds, in its order."""

    def __init__(
        self,
        genesis: Genesis,
        contracts: ContractEngine,
        on_executed: OnExecuted | None = None,
        period_ends: Iterable[Note] = (),
    ) -> None:
        self._genesis = genesis
        self._periods = PeriodCheck(genesis.hash, period_ends)
        self._on_executed = on_executed
        self._state = ReplayedState(
            initial_commit(genesis, genesis_records(genesis), lambda root: first_header(genesis, root))
        )
        self._cache = TransactionCache(genesis.hash, verify=_verify)
        self._branches = BranchCache(blocks_max=sys.maxsize, lanes_max=sys.maxsize)
        self._executor = Executor(
            genesis, self._state, self._cache, lambda _done: None, lambda _why: None, contracts=contracts
        )
        header = parse_header(genesis.hash, self._state.newest.header)
        self._recent: deque[BlockHeader] = deque([header])
        """From the height on that the newest of them names as executed."""
        self._last = _Accepted(header, archive_pb2.ArchivedBlock())
        self._compared: set[tuple[int, bytes]] = set()
        self._compared_last = b""
        self._is_final = False
        self.height_last = 0
        """Of the archive, as its head says."""

    @property
    def height(self) -> int:
        """Of the block executed last."""
        return self._last.header.height

    def begin(self, head: Any) -> None:
        """Take the head."""
        if head.genesis_hash != self._genesis.hash:
            raise Diverged(0, "genesis", self._genesis.hash.hex(), head.genesis_hash.hex())
        self.height_last = head.height

    async def add(self, archived: Sequence[archive_pb2.ArchivedBlock]) -> AsyncIterator[int]:
        """Judge and execute the next blocks; gives the height of each when it held."""
        read = [self._read(one) for one in archived]
        ahead = 0
        for place, (one, block) in enumerate(zip(archived, read, strict=True)):
            if isinstance(block, MalformedMessage):
                wanted = "a block with the body that its header names"
                raise Diverged(self.height + 1, "header", wanted, str(block))
            if place == ahead and accelerator is not None:  # without it a batch saves nothing
                ahead += await self._verify_ahead(read[place:])
            await self._add(block, one)
            yield self.height

    def _read(self, archived: archive_pb2.ArchivedBlock) -> Block | MalformedMessage:
        """The block, or what is wrong with its bytes: said when it is its turn."""
        limits = self._genesis.limits
        try:
            return parse_block(
                self._genesis.hash,
                archived.block,
                bytes_max=limits.bytes_max,
                transactions_max=limits.transactions_max,
            )
        except MalformedMessage as fault:
            return fault

    async def _verify_ahead(self, blocks: Sequence[Block | MalformedMessage]) -> int:
        """Verify the signatures of blocks in one batch, with the keys that the state has now; of how many.

        Up to one that is malformed, or most of whose principals only come to be. Whose keys are others by its
        turn is verified again; what is refused is told then.
        """
        wanted: list[tuple[Transaction, tuple[bytes, ...]]] = []
        for count, block in enumerate(blocks):
            if isinstance(block, MalformedMessage):
                break
            found = list(self._with_keys(block))
            if count and len(found) * 2 < len(block.transactions):
                break
            wanted += found
        else:
            count = len(blocks)
        await self._cache.verify_all(wanted)
        return count

    def _with_keys(self, block: Block) -> Iterator[tuple[Transaction, tuple[bytes, ...]]]:
        """The transactions whose signers' keys the state has."""
        controllers = self._state.records.controllers
        for data in block.transactions:
            try:
                transaction = self._cache.read(data)
            except Malformed:
                continue
            controller = controllers.get(transaction.principal)
            if controller is not None:
                keys = signing_keys(transaction, controller, block.header.time_ms)
                if not isinstance(keys, AuthorityFault):
                    yield transaction, keys

    async def _add(self, block: Block, archived: archive_pb2.ArchivedBlock) -> None:
        self._check_place(block)
        self._check_certificates(block)
        await self._check_transactions(block)
        await self._execute(block, archived)
        self._recent.append(block.header)
        while self._recent[0].height < block.header.executed_height:
            self._branches.forget(self._recent.popleft().hash)
        self._last = _Accepted(block.header, archived)

    def compare(self, leaves: Sequence[archive_pb2.ArchivedLeaf], key: str) -> None:
        """Compare claimed leaves with those that came of executing."""
        self._check_end()
        for leaf in leaves:
            try:
                namespace = Namespace(leaf.namespace)
            except ValueError:
                raise Diverged(self.height, key, "a known namespace", f"{leaf.namespace}") from None
            name = leaf_name(namespace, leaf.identifier)
            record = self._state.records.table(namespace).get(leaf.identifier)
            expected = b"" if record is None else encode_leaf(namespace, record)
            if record is None or expected != leaf.value:
                found = hexadecimal(leaf.value) or "an empty leaf"
                raise Diverged(self.height, name, hexadecimal(expected) or "no leaf", found)
            place = state_key(namespace, leaf.identifier)
            if place <= self._compared_last:
                raise Diverged(self.height, name, "leaves ascending by state key", "one out of place")
            self._compared_last = place
            self._compared.add((namespace, leaf.identifier))

    def finish(self, end: Any) -> Report:
        """Take the end."""
        self._check_end()
        if end.blocks != self.height:
            raise Diverged(self.height, "end", f"{self.height} blocks", f"{end.blocks}")
        for namespace, identifier, record in self._state.records:
            if (namespace, identifier) not in self._compared:
                assert record is not None, "what is absent has no record"
                expected = hexadecimal(encode_leaf(namespace, record))
                raise Diverged(self.height, leaf_name(namespace, identifier), expected, "no leaf")
        if end.leaves != len(self._compared):
            raise Diverged(self.height, "end", f"{len(self._compared)} leaves", f"{end.leaves}")
        return Report(
            self.height, self._state.transfers, self._state.newest.state_root, self._periods.findings
        )

    # --- a block

    def _check_place(self, block: Block) -> None:
        header, height, parent = block.header, self.height + 1, self._last.header
        version = self._version_of(block)
        for name, expected, found in (
            ("height", f"{height}", f"{header.height}"),
            ("protocol version", f"{version}", f"{header.protocol_version}"),
            ("parent", parent.hash.hex(), header.parent.hex()),
        ):
            if expected != found:
                raise Diverged(height, "header", f"{name} {expected}", f"{name} {found}")
        if header.view <= parent.view:
            raise Diverged(height, "header", f"a view above {parent.view}", f"view {header.view}")
        if height > self.height_last:
            raise Diverged(height, "head", f"{self.height_last} blocks", "more")

    def _version_of(self, block: Block) -> int:
        """The protocol version in force for a block that follows: it changes where the edge names it, only.

        Raises:
            FailedPrecondition: PROTOCOL_VERSION_UNKNOWN: not by this release's rules can it be judged.
        """
        parent = self._last.header
        if block.header.epoch == parent.epoch or block.recovery:
            return parent.protocol_version
        named = parse_validator_set(self._state.validator_set(parent.next_validator_set_hash))
        version = named.protocol_version
        if version not in KNOWN_PROTOCOLS:
            raise FailedPrecondition(
                "PROTOCOL_VERSION_UNKNOWN",
                unknown_protocol(version, parent.height + 1),
                protocol_version=version,
                protocol_newest=NEWEST_PROTOCOL,
                height=parent.height + 1,
            )
        return version

    def _check_certificates(self, block: Block) -> None:
        header, parent = block.header, self._last.header
        has_ended = header.epoch != parent.epoch
        if has_ended:
            self._check_final()
        elif self._last.archived.finalization or self._last.archived.descendant_headers:
            raise Diverged(parent.height, "certificate", "one at the end of an epoch only", "one")
        executed_height = parent.executed_height
        if block.recovery:
            executed_height = parent.height
        elif parent.height == 0:
            if block.parent_certificate:
                raise Diverged(header.height, "parent_certificate", "none behind genesis", "one")
        else:
            try:
                deciding = self._deciding(parent)
                check_certificate(
                    block.parent_certificate, VoteKind.NOTARIZE, parent, deciding, self._genesis.hash
                )
            except ProofInvalid as fault:
                raise Diverged(
                    header.height, "parent_certificate", "a quorum's notarization of the parent", str(fault)
                ) from fault
        if block.finalization:
            executed_height = self._check_carried(block, has_ended=has_ended)
        elif has_ended and not block.recovery:
            raise Diverged(header.height, "finalization", "one of the epoch that ended", "none")
        if header.executed_height != executed_height:
            raise Diverged(
                header.height,
                "header",
                f"executed height {executed_height}",
                f"executed height {header.executed_height}",
            )

    def _check_carried(self, block: Block, *, has_ended: bool) -> int:
        """The height that the finalization in a block makes executed."""
        header, parent = block.header, self._last.header
        key, wanted = "finalization", "a quorum's finalization of an ancestor"
        try:
            certificate = parse_certificate(block.finalization)
        except MalformedMessage as error:
            raise Diverged(header.height, key, wanted, str(error)) from error
        final = next((one for one in self._recent if one.height == certificate.height), None)
        try:
            if has_ended and certificate.height > parent.height:
                # Of a block behind the edge block, which only carried its finality and is not in the chain.
                self._check_behind(certificate, parent)
                return parent.height
            least = parent.height if has_ended else parent.executed_height + 1
            if final is None or certificate.height < least:
                raise ProofInvalid("", f"it is of height {certificate.height}")
            check_finalization(block.finalization, final, self._deciding(final), self._genesis.hash)
        except ProofInvalid as fault:
            raise Diverged(header.height, key, wanted, str(fault)) from fault
        return certificate.height

    def _check_behind(self, certificate: Certificate, edge: BlockHeader) -> None:
        deciding = self._deciding(edge)
        if (
            certificate.kind is not VoteKind.FINALIZE
            or certificate.epoch != edge.epoch
            or certificate.protocol_version != edge.protocol_version
            or certificate.view <= edge.view
        ):
            raise ProofInvalid("", "it is no finalization of the epoch that ended")
        check_quorum(certificate, deciding, self._genesis.hash)

    async def _check_transactions(self, block: Block) -> None:
        header = block.header
        branch = Branch(
            header.executed_height,
            tuple(one.hash for one in self._recent if one.height > header.executed_height),
        )
        try:
            judged = await validate_block(
                block.hash,
                branch,
                Moment(header.epoch, header.time_ms),
                block.transactions,
                recovery=block.recovery,
                genesis=self._genesis,
                state=self._state,
                cache=self._cache,
                branches=self._branches,
            )
        except DomainError as fault:
            raise Diverged(
                header.height, "transactions", "a branch that can be judged", str(fault)
            ) from fault
        if judged.reason:
            raise Diverged(
                header.height, "transactions", "valid transactions", f"{judged.reason}: {judged.message}"
            )

    async def _execute(self, block: Block, archived: archive_pb2.ArchivedBlock) -> None:
        header = block.header
        named = await self._state.block_at(header.executed_height)
        if named is None:
            raise Diverged(
                header.height,
                "header",
                "a recent executed height",
                f"executed height {header.executed_height}",
            )
        for key in ("state_root", "receipts_root", "log_root"):
            expected, found = getattr(named, key), getattr(header, key)
            if expected != found:
                raise Diverged(header.height, key, expected.hex(), found.hex())
        final = FinalBlock(
            header.data,
            block.transactions,
            archived.finalization or _UNSEEN,
            tuple(archived.descendant_headers),
            block.parent_certificate,
            block.recovery,
        )
        self._periods.pass_to(header.time_ms, self._state.records)
        try:
            execution = await self._executor.execute(final)
        except Halted as fault:
            raise Diverged(header.height, "invariant", "all hold", str(fault)) from fault
        except DomainError as fault:
            raise Diverged(header.height, "header", "a block that may follow", str(fault)) from fault
        for closing in self._state.closings:
            self._periods.take(closing)
        if self._on_executed is not None:
            await self._on_executed(final, execution, self._cache)

    # --- finality

    def _deciding(self, header: BlockHeader) -> EpochSet:
        """Who validates in the epoch of a header that was executed."""
        return EpochSet(
            header.epoch, parse_validator_set(self._state.validator_set(header.validator_set_hash))
        )

    def _check_end(self) -> None:
        """No block follows."""
        if self.height != self.height_last:
            raise Diverged(self.height, "head", f"{self.height_last} blocks", f"{self.height}")
        if not self._is_final:
            self._check_final()
            self._is_final = True

    def _check_final(self) -> None:
        """The block executed last is final by its own epoch's quorum."""
        header, archived = self._last.header, self._last.archived
        if header.height == 0:
            return  # genesis is final by definition
        try:
            chain = read_chain(self._genesis.hash, header.data, archived.descendant_headers, "")
            deciding, last = self._deciding(header), chain[-1]
            if (last.epoch, last.validator_set_hash) != (header.epoch, header.validator_set_hash):
                raise ProofInvalid("", f"header {last.height} is of epoch {last.epoch} or another set")
            check_finalization(archived.finalization, last, deciding, self._genesis.hash)
        except ProofInvalid as fault:
            raise Diverged(
                header.height, "certificate", "a quorum's finalization of the block", str(fault)
            ) from fault
