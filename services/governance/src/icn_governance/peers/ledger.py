"""The ledger as the use cases ask it (`icn_governance.usecases.ports.Ledger`)."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1.state_pb2 import AuthorityLeaf, BallotLeaf, ControllerLeaf, MembershipLeaf
from icn_kit.block_clock import BlockClock
from icn_kit.errors import NotFound
from icn_kit.ledger_reads import LedgerReads

from icn_governance.domain.proposal import BALLOTS_MAX
from icn_governance.usecases.ports import PollAt

PAGE_SIZE = 500


class ValidatorsLedger:
    """Reads of the newest executed state, each as f + 1 validators have it."""

    def __init__(self, ledger: LedgerReads) -> None:
        self._ledger = ledger

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        """See the port."""
        try:
            answer = await self._ledger.get_membership(f"memberships/{organization.hex()}/{member.hex()}")
        except NotFound:
            return None
        return answer.membership

    async def memberships_of(self, member: bytes) -> Sequence[MembershipLeaf]:
        """See the port."""
        answer = await self._ledger.list_memberships(member=f"principals/{member.hex()}", page_size=PAGE_SIZE)
        return list(answer.memberships)

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        """See the port."""
        try:
            answer = await self._ledger.get_authority(f"authorities/{authority.hex()}")
        except NotFound:
            return None
        return answer.authority

    async def controller(self, principal: bytes) -> ControllerLeaf | None:
        """See the port."""
        try:
            answer = await self._ledger.get_controller(f"principals/{principal.hex()}")
        except NotFound:
            return None
        return answer.controller

    async def poll(self, poll: bytes) -> PollAt | None:
        """See the port."""
        try:
            answer = await self._ledger.get_poll(f"polls/{poll.hex()}")
        except NotFound:
            return None
        return PollAt(answer.poll, answer.block_time_ms)

    async def ballots(self, poll: bytes) -> Sequence[BallotLeaf]:
        """See the port."""
        leaves: list[BallotLeaf] = []
        token = ""
        while len(leaves) <= BALLOTS_MAX:
            page = await self._ledger.list_ballots(f"polls/{poll.hex()}", PAGE_SIZE, token)
            leaves += page.ballots
            token = page.next_page_token
            if not token:
                break
        return leaves

    async def has_ballot(self, poll: bytes, voter: bytes) -> bool:
        """See the port."""
        try:
            page = await self._ledger.list_ballots(
                f"polls/{poll.hex()}", page_size=1, voter=f"principals/{voter.hex()}"
            )
        except NotFound:
            return False
        return any(leaf.voter == voter for leaf in page.ballots)


class ClockTime:
    """Block time from the block clock (`icn_governance.usecases.ports.BlockTime`)."""

    def __init__(self, clock: BlockClock) -> None:
        self._clock = clock

    def block_time_ms(self) -> int:
        """See the port."""
        return self._clock.newest.time_ms if self._clock.newest is not None else 0
