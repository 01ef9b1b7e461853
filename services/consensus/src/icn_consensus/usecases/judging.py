"""Proposals through the application, one after the other: chosen for our turns, judged for everybody's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from icn_chain.block import Block
from icn_kit.errors import DomainError

from icn_consensus.domain.actions import Branch, Judge, Prepare
from icn_consensus.domain.events import BlockJudged, BlockPrepared, Event
from icn_consensus.metrics import EVENTS_DROPPED
from icn_consensus.usecases.pool import Pool, PoolItem
from icn_consensus.usecases.ports import (
    AncestorUnknown,
    Application,
    Choice,
    StateBehind,
    TransactionCheck,
)

WAITING_MAX: Final = 64
"""The core asks for one block at a time; older questions than this are about views long over."""
CANDIDATES_SHARE: Final = 2
"""Candidates are offered for twice what a block holds, since some may have no place on the branch."""
CANDIDATES_BYTES_MAX: Final = 6 * 1024 * 1024
"""Of one PrepareBlock: gRPC messages of the platform end at 8 MiB."""
ROOM_LEFT_BYTES: Final = 65_536
"""With more room than the largest transaction left, what was not chosen has no place on the branch now."""

BLOCK_INTERVAL_SECONDS: Final = 0.04
"""What a proposal with room left keeps from the one before. A view costs the validators of one machine about
40 ms of CPU together, whatever it holds: without the pause a few transactions a second keep it busy, and all
of them wait for it (benches/latency.py). After a quiet moment nothing waits."""

DOUBTFUL_MAX: Final = 1_000
"""Of one CheckTransactions; more are refused again with the next proposal."""
EXPIRED: Final = "EXPIRED"
"""The application's reason for what is past its expiry."""

Answer = TypeVar("Answer")
_log = structlog.get_logger(__name__)


class Judging:
    """Takes `Prepare` and `Judge` actions; `run` keeps it going."""

    def __init__(
        self,
        application: Application,
        pool: Pool,
        *,
        find_block: Callable[[bytes], Awaitable[Block | None]],
        on_answer: Callable[[Event], None],
        on_refused: Callable[[PoolItem, TransactionCheck], None],
    ) -> None:
        """``find_block`` finds the body of a recent block; ``on_refused`` is told of candidates that have no
        place in the pool any more, and why."""
        self._application = application
        self._pool = pool
        self._find_block = find_block
        self._on_answer = on_answer
        self._on_refused = on_refused
        self._waiting: deque[Prepare | Judge] = deque()
        self._has_waiting = asyncio.Event()
        self._newest_request = 0
        self._proposal_at = 0.0
        """When the newest proposal was seen or made, in monotonic seconds."""
        self._doubtful: list[PoolItem] = []
        """Candidates that the application would not have in a pool."""

    def put(self, action: Prepare | Judge) -> None:
        """Take a question. Each is answered with one event, except a `Prepare` that a newer one made void."""
        if isinstance(action, Prepare):
            self._newest_request = action.request
        else:
            self._proposal_at = time.monotonic()
            self._pool.note_block(action.block_hash, action.transactions)
        self._waiting.append(action)
        if len(self._waiting) > WAITING_MAX:
            EVENTS_DROPPED.labels("judge").inc()
            dropped = self._waiting.popleft()
            if isinstance(dropped, Judge):
                self._on_answer(BlockJudged(dropped.block_hash, is_valid=False, is_behind=True))
        self._has_waiting.set()

    async def run(self) -> None:
        """Ask the application, until cancelled."""
        while True:
            await self._has_waiting.wait()
            action = self._waiting.popleft()
            if not self._waiting:
                self._has_waiting.clear()
            if isinstance(action, Judge):
                self._on_answer(await self._judge(action))
            elif action.request == self._newest_request:
                chosen = await self._prepare(action)
                self._proposal_at = time.monotonic()
                self._on_answer(BlockPrepared(action.request, chosen))
                if self._doubtful:
                    await self._settle_doubtful()

    async def _judge(self, action: Judge) -> BlockJudged:
        def ask() -> Awaitable[str]:
            return self._application.validate(
                action.block_hash,
                action.branch,
                action.epoch,
                action.time_ms,
                action.transactions,
                recovery=action.recovery,
            )

        try:
            reason = await with_ancestors(self._application, action.branch, ask, self._find_block)
        except (AncestorUnknown, StateBehind):
            return BlockJudged(action.block_hash, is_valid=False, is_behind=True)
        except DomainError as error:
            _log.warning("a block cannot be judged now", reason=error.reason, problem=error.message)
            return BlockJudged(action.block_hash, is_valid=False, is_behind=True)
        if reason:
            self._pool.note_abandoned((action.block_hash,))
        return BlockJudged(action.block_hash, is_valid=not reason, reason=reason)

    def _candidates(self, action: Prepare) -> list[PoolItem]:
        return self._pool.candidates(
            action.branch.unexecuted,
            transactions_max=CANDIDATES_SHARE * action.transactions_max,
            size_bytes_max=min(CANDIDATES_SHARE * action.size_bytes_max, CANDIDATES_BYTES_MAX),
        )

    async def _prepare(self, action: Prepare) -> tuple[bytes, ...]:
        """Transactions for a proposal; none where the application cannot tell."""
        candidates = self._candidates(action)
        pause_seconds = self._proposal_at + BLOCK_INTERVAL_SECONDS - time.monotonic()
        if pause_seconds > 0 and 2 * len(candidates) < action.transactions_max:
            await asyncio.sleep(pause_seconds)
            candidates = self._candidates(action)
        if not candidates:
            return ()

        def ask() -> Awaitable[Choice]:
            return self._application.prepare(
                action.branch,
                action.epoch,
                action.time_ms,
                [item.data for item in candidates],
                size_bytes_max=action.size_bytes_max,
                transactions_max=action.transactions_max,
            )

        try:
            choice = await with_ancestors(self._application, action.branch, ask, self._find_block)
        except (AncestorUnknown, StateBehind) as error:
            _log.info("nothing can be proposed now", problem=str(error))
            return ()
        except DomainError as error:
            _log.warning("nothing can be proposed now", reason=error.reason, problem=error.message)
            return ()
        chosen = tuple(candidates[index].data for index in choice.chosen)
        self._set_aside(action, candidates, choice, sum(map(len, chosen)))
        return chosen

    def _set_aside(
        self, action: Prepare, candidates: list[PoolItem], choice: Choice, size_bytes: int
    ) -> None:
        """Take note of what was not chosen."""
        self._doubtful = [candidates[index] for index in choice.refused[:DOUBTFUL_MAX]]
        has_room = (
            len(choice.chosen) < action.transactions_max
            and size_bytes + ROOM_LEFT_BYTES < action.size_bytes_max
        )
        if has_room:
            taken = {*choice.chosen, *choice.refused}
            self._pool.defer([item for index, item in enumerate(candidates) if index not in taken])

    async def _settle_doubtful(self) -> None:
        """Look again at refused candidates: some were executed meanwhile, and that is no refusal."""
        items, self._doubtful = self._doubtful, []
        try:
            checks = await self._application.check([item.data for item in items])
        except DomainError as error:
            _log.warning("refused candidates stay for now", reason=error.reason, problem=error.message)
            return
        for item, check in zip(items, checks, strict=True):
            if check.reason == EXPIRED:
                self._pool.defer([item])  # block time decides, not our clock
            elif check.reason and not check.executed_height:
                self._on_refused(item, check)


async def with_ancestors(
    application: Application,
    branch: Branch,
    ask: Callable[[], Awaitable[Answer]],
    find_block: Callable[[bytes], Awaitable[Block | None]],
) -> Answer:
    """Ask; where the application does not know the branch (it or we have just started), teach it and ask
    again.

    Raises:
        AncestorUnknown: a block of the branch is not here, or the application finds it not valid.
    """
    try:
        return await ask()
    except AncestorUnknown:
        for position, block_hash in enumerate(branch.unexecuted):
            block = await find_block(block_hash)
            if block is None:
                raise
            ancestors = Branch(branch.executed_height, branch.unexecuted[:position])
            header = block.header
            reason = await application.validate(
                block_hash,
                ancestors,
                header.epoch,
                header.time_ms,
                block.transactions,
                recovery=block.recovery,
            )
            if reason:
                raise
    return await ask()
