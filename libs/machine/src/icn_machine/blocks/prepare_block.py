"""PrepareBlock: what a proposal holds, chosen from the pool's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from icn_machine.blocks.branches import Branch, BranchCache, Prepared
from icn_machine.blocks.breath import in_breaths
from icn_machine.blocks.check_transactions import find_refusals
from icn_machine.blocks.judging import Signatures
from icn_machine.blocks.ports import State
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.messages import Transaction
from icn_machine.refusals import SEQUENCE_GAP, Malformed, NotValid
from icn_machine.touched import touched_by_validity
from icn_machine.validity import Moment, Use, ValidityView, include

FRAMING_BYTES = 4
"""Around each transaction in a block: a tag and a length of at most three bytes."""
ROUNDS_MAX = 3
"""After as many rounds with bad signatures among new candidates the proposal stays empty. A pool has verified
all of its own before it took them, so the first round is nearly always the last."""


class RefusedCandidate(NamedTuple):
    """A candidate to forget."""

    position: int
    """Index into the candidates."""
    reason: str
    message: str


class Choice(NamedTuple):
    """What a proposal holds."""

    chosen: tuple[int, ...]
    """Indexes into the candidates in block order."""
    refused: tuple[RefusedCandidate, ...]


async def prepare_block(
    branch: Branch,
    moment: Moment,
    candidates: Sequence[bytes],
    *,
    size_bytes_max: int,
    transactions_max: int,
    state: State,
    cache: TransactionCache,
    branches: BranchCache,
) -> Choice:
    """Take candidates first come, first served; one ahead of its lane follows right after its predecessor.

    Refused are those that are malformed, and those that fail on the branch and, judged alone on the newest
    state, have no place in a pool. What only this branch cannot take is neither chosen nor refused.

    Raises:
        StateBehind, StatePruned, AncestorUnknown: as `validate_block`.
    """
    ancestors = branches.ancestors(branch.unexecuted)
    refused: list[RefusedCandidate] = []
    known: dict[int, Transaction] = {}
    async for index, data in in_breaths(list(enumerate(candidates))):
        try:
            known[index] = cache.read(data)
        except Malformed as refusal:
            refused.append(RefusedCandidate(index, refusal.reason, refusal.message))
    view = await state.load_validity(touched_by_validity(known.values()), branch.executed_height)
    signatures = Signatures(cache)
    for _ in range(ROUNDS_MAX):
        attempt = _Round(
            known,
            view,
            moment,
            signatures,
            Use.after(ancestors, moment.epoch),
            size_bytes_max,
            transactions_max,
        )
        await attempt.fill()
        if await signatures.settle():
            branches.note_prepared(
                Prepared(
                    branch,
                    moment,
                    tuple([candidates[index] for index in attempt.chosen]),
                    tuple([known[index].id for index in attempt.chosen]),
                    attempt.use.alone(),
                )
            )
            break
    else:
        attempt.chosen.clear()
    if attempt.failed:
        failed = sorted(attempt.failed)
        reasons = await find_refusals([known[index] for index in failed], moment, state, cache)
        refused += [
            RefusedCandidate(index, reason.reason, reason.message)
            for index, reason in zip(failed, reasons, strict=True)
            if reason is not None
        ]
    return Choice(tuple(attempt.chosen), tuple(sorted(refused)))


@dataclass(slots=True)
class _Round:
    """One attempt at filling the block."""

    known: Mapping[int, Transaction]
    view: ValidityView
    moment: Moment
    signatures: Signatures
    use: Use
    size_bytes_left: int
    transactions_left: int
    chosen: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    waiting: dict[tuple[bytes, int, int], list[int]] = field(default_factory=dict)
    """Candidates ahead of their lane, by principal, lane and sequence."""

    async def fill(self) -> None:
        """Go once through the candidates."""
        async for index in in_breaths(list(self.known)):
            if self.transactions_left == 0:
                return
            following: int | None = index
            while following is not None and self._take(following):
                transaction = self.known[following]
                place = (transaction.principal, transaction.lane, transaction.sequence + 1)
                queue = self.waiting.get(place)
                following = queue.pop(0) if queue else None

    def _take(self, index: int) -> bool:
        transaction = self.known[index]
        size_bytes = transaction.size_bytes + FRAMING_BYTES
        if size_bytes > self.size_bytes_left or self.transactions_left == 0:
            return False
        try:
            include(transaction, self.view, self.use, self.moment, verdict_of=self.signatures.verdict_of)
        except NotValid as refusal:
            if refusal.reason == SEQUENCE_GAP:
                place = (transaction.principal, transaction.lane, transaction.sequence)
                self.waiting.setdefault(place, []).append(index)
            else:
                self.failed.append(index)
            return False
        self.chosen.append(index)
        self.size_bytes_left -= size_bytes
        self.transactions_left -= 1
        return True
