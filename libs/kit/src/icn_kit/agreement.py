"""What several validators say alike: reads of the ledger on which authority or money rests.

One validator may lie; of f + 1 at least one is honest. An answer counts when f + 1 gave it, none of them far
behind (`icn_kit.preference`). Source: docs/spec/command.md, "What several validators say"; docs/adr/0021.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, cast

from google.protobuf.message import Message
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.state_pb2 import AccountLeaf, StandingOrderLeaf
from prometheus_client import Counter

from icn_kit.errors import DomainError, ErrorKind, Unavailable
from icn_kit.ledger_reads import LedgerReads, Response
from icn_kit.preference import HEIGHTS_BEHIND_MAX, Standing

AGREED_SECONDS_MAX = 5.0
"""Longest a caller waits for agreement."""
ATTEMPT_SECONDS_MAX = 2.0
"""A validator that needs longer has not answered."""
HEDGE_SECONDS = 0.25
"""Then the others are asked too; an answer takes milliseconds."""
DISSENT_SECONDS = 0.3
"""While answers differ, they are asked for again this long, though f + 1 agree: honest ones differ only as
long as a block takes to be executed everywhere, and who was told by one of them that a change is in force
wants to be believed."""
PAUSE_SECONDS = 0.05
"""Between two rounds."""

DISSENTS = Counter(
    "icn_kit_validator_dissents_total", "Answers of a validator that were not those of the others."
)

_NO_ANSWER = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.CANCELLED, ErrorKind.DEADLINE_EXCEEDED})


class Panel(Protocol):
    """The validators, each by itself; `icn_kit.validators.Validators` is one."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def faulty_max(self) -> int:
        """How many of them may lie."""
        ...

    async def eligible(self, needed: int) -> tuple[Sequence[Standing], int]:
        """Those that are not lagging, the one to ask first in front, and the newest height that is sure."""
        ...

    async def ask_one(self, standing: Standing, request: Message, seconds: float) -> Message:
        """One validator's answer.

        Raises:
            DomainError: its refusal, or that it did not answer.
        """
        ...


class AgreedReads(LedgerReads):
    """The reads of the ledger, each answered by f + 1 validators alike.

    An answer holds only what validators a few heights apart say alike: of a controller all but its lanes, of
    an account its owner and unit. A height, and the time of a poll's block, is the lowest that an honest one
    can have named; of a poll 2f + 1 are asked, so that no validator can hold it back.

    Raises, beside the refusal that they agree on:
        Unavailable: TOO_FEW_VALIDATORS_AGREE, with how many did, of how many, and how many must.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    async def _read(self, request: Message, response_type: type[Response]) -> Response:
        needed = self._panel.faulty_max + 1
        begun_at = monotonic()
        while True:
            votes = await self._vote(request, needed, begun_at + AGREED_SECONDS_MAX)
            winner = votes.largest()
            has_won = len(votes.groups.get(winner, ())) >= needed
            if has_won and (len(votes.groups) == 1 or monotonic() - begun_at >= DISSENT_SECONDS):
                votes.blame(winner)
                return cast(Response, votes.answer(winner))
            is_hopeless = not has_won and len(votes.groups) <= 1  # nobody contradicts: too few answer
            if is_hopeless or monotonic() - begun_at + PAUSE_SECONDS > AGREED_SECONDS_MAX:
                agreed = len(votes.groups.get(winner, ()))
                raise Unavailable(
                    "TOO_FEW_VALIDATORS_AGREE",
                    f"{agreed} of {self._panel.size} validators gave the same answer, {needed} must",
                    agreed=agreed,
                    validators=self._panel.size,
                    needed=needed,
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _vote(self, request: Message, needed: int, ends_at: float) -> _Votes:
        """Ask as many as must agree and, if one is slow, silent or of another opinion, the others too."""
        standings, newest = await self._panel.eligible(needed)
        votes = _Votes(newest - HEIGHTS_BEHIND_MAX, needed - 1)
        if len(standings) < needed:
            return votes
        first = needed + self._panel.faulty_max if isinstance(request, ledger.GetPollRequest) else needed
        seconds = max(0.0, min(ATTEMPT_SECONDS_MAX, ends_at - monotonic()))

        async def ask(standing: Standing) -> None:
            try:
                votes.add(standing, await self._panel.ask_one(standing, request, seconds))
            except DomainError as refusal:
                if refusal.kind not in _NO_ANSWER:
                    votes.add(standing, refusal)

        asking = {asyncio.create_task(ask(standing)) for standing in standings[:first]}
        try:
            done, waiting = await asyncio.wait(asking, timeout=HEDGE_SECONDS)
            _raise_bugs(done)
            if not waiting and votes.is_decided(needed):
                return votes
            asking |= {asyncio.create_task(ask(standing)) for standing in standings[first:]}
            patient_until = monotonic() + HEDGE_SECONDS
            waiting = {task for task in asking if not task.done()}
            while waiting and not votes.is_decided(needed):
                has_majority = len(votes.groups.get(votes.largest(), ())) >= needed
                left = patient_until - monotonic() if has_majority else seconds
                if left <= 0:
                    break
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                _raise_bugs(done)
            return votes
        finally:
            for task in asking:
                task.cancel()


@dataclass(slots=True)
class _Votes:
    """Answers of one round, by what they say."""

    height_min: int
    """An answer of a lower height is too old to count."""
    faulty_max: int
    groups: dict[Hashable, list[tuple[Standing, Message | DomainError]]] = field(default_factory=dict)

    def add(self, standing: Standing, answer: Message | DomainError) -> None:
        if isinstance(answer, DomainError):
            said: Hashable = (answer.kind, answer.reason)
        else:
            if _height(answer) < self.height_min and _has_height(answer):
                return
            said = settled(answer).SerializeToString(deterministic=True)
        self.groups.setdefault(said, []).append((standing, answer))

    def largest(self) -> Hashable:
        return max(self.groups, key=lambda said: len(self.groups[said]), default=None)

    def is_decided(self, needed: int) -> bool:
        """Whether all who answered say the same and are enough."""
        return len(self.groups) == 1 and len(self.groups[self.largest()]) >= needed

    def blame(self, winner: Hashable) -> None:
        """Remember who agreed with the others and who did not."""
        for said, given in self.groups.items():
            for standing, _ in given:
                if said == winner:
                    standing.agreed()
                else:
                    standing.dissented(monotonic())
                    DISSENTS.inc()

    def answer(self, winner: Hashable) -> Message:
        """What they said.

        Raises:
            DomainError: the refusal that they agree on.
        """
        answers = [answer for _, answer in self.groups[winner]]
        first = answers[0]
        if isinstance(first, DomainError):
            raise first
        given = cast(list[Message], answers)
        result = settled(first)
        if _has_height(first):
            _set_height(result, self._sure([_height(answer) for answer in given]))
        if isinstance(result, ledger.GetPollResponse):
            polls = cast(list[ledger.GetPollResponse], given)
            result.block_time_ms = self._sure([poll.block_time_ms for poll in polls])
        return result

    def _sure(self, named: list[int]) -> int:
        """The lowest of f + 1; of more than 2f the (f + 1)-th lowest lies among what honest ones named."""
        return sorted(named)[self.faulty_max if len(named) > 2 * self.faulty_max else 0]


def settled(response: Message) -> Message:
    """A copy without what changes with every transaction or block: lanes, balances, heights."""
    kept: Any = type(response)()
    kept.CopyFrom(response)
    if isinstance(kept, ledger.GetControllerResponse):
        kept.controller.ClearField("lanes")
    elif isinstance(kept, ledger.GetAccountResponse):
        leaf = kept.account.leaf
        kept.account.leaf.CopyFrom(AccountLeaf(account=leaf.account, owner=leaf.owner, unit=leaf.unit))
        kept.account.ClearField("height")
    elif _has_height(response):
        kept.ClearField("height")
    elif isinstance(kept, ledger.GetOrderResponse):
        kept.CopyFrom(ledger.GetOrderResponse(order=StandingOrderLeaf(ordered=kept.order.ordered)))
    if isinstance(kept, ledger.GetPollResponse):
        kept.ClearField("block_time_ms")
    return cast(Message, kept)


_WITH_HEIGHT = (
    ledger.GetHoldResponse,
    ledger.GetAuthorityResponse,
    ledger.GetMembershipResponse,
    ledger.GetPollResponse,
    ledger.GetDecisionResponse,
    ledger.GetContractResponse,
)
"""Answers that name the height they were read at; of a transaction's it is the block's that includes it."""


def _has_height(response: Message) -> bool:
    return isinstance(response, (*_WITH_HEIGHT, ledger.GetAccountResponse))


def _height(response: Any) -> int:
    if isinstance(response, ledger.GetAccountResponse):
        return int(response.account.height)
    return int(response.height) if isinstance(response, _WITH_HEIGHT) else 0


def _set_height(response: Any, height: int) -> None:
    if isinstance(response, ledger.GetAccountResponse):
        response.account.height = height
    else:
        response.height = height


def _raise_bugs(done: set[asyncio.Task[None]]) -> None:
    """Refusals are votes; anything else that a task raised is a bug of ours."""
    for task in done:
        task.result()
