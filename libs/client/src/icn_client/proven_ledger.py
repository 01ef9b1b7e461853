"""Leaves of a running network, each proven from genesis before it is believed (`steward.ProvenLedger`).

Source: docs/spec/proof.md; docs/spec/governance.md, "What a steward checks".
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from icn.ledger.v1.service_pb2 import (
    GetProofRequest,
    ListBallotsRequest,
    ListMembershipsRequest,
)
from icn.ledger.v1.state_pb2 import AuthorityLeaf, BallotLeaf, MembershipLeaf, PollLeaf
from icn.ledger.v1.transaction_pb2 import ELECTORATE_MEMBERS_OF_MEMBERS
from icn_chain.epochs import ProofInvalid
from icn_kit.errors import FailedPrecondition, Unavailable
from icn_machine.records import Namespace

from icn_client.connection import Connection, ValidatorAddress, ask
from icn_client.light.final_header import ProofMalformed
from icn_client.light.proof_file import from_response
from icn_client.light.verify import verify_proof
from icn_client.seats import proven_sets
from icn_client.steward import ProvenPoll, StewardRefuses

PAGE_SIZE: Final = 500
BALLOTS_MAX: Final = 10_000
"""As many as governance counts."""
PAGES_MAX: Final = 1_000
WAIT_SECONDS: Final = 75.0
"""Until a final header names the state that is wanted, however busy the machine."""
POLL_SECONDS: Final = 0.5
"""Under load a header names the state of two blocks before it."""
PROOFS_AT_ONCE: Final = 8
"""A validator makes one at a time; this only hides the way there and back."""
NAMESPACES: Final = {
    "accounts": Namespace.ACCOUNT,
    "principals": Namespace.CONTROLLER,
    "authorities": Namespace.AUTHORITY,
    "memberships": Namespace.MEMBERSHIP,
    "polls": Namespace.POLL,
    "ballots": Namespace.BALLOT,
}


@dataclass(frozen=True, slots=True)
class Proven:
    """A leaf as a final header names it."""

    value: bytes
    """Empty: there is none."""
    height: int
    """The state's."""


async def prove_leaf(connection: Connection, name: str, identifier: bytes) -> Proven:
    """A leaf, or its absence, in the newest state that a final header names, proven from genesis.

    Raises:
        FailedPrecondition: no final header names a state yet.
        ProofMalformed, ProofInvalid: who answered shows something else, or something that does not hold.
    """
    genesis = connection.genesis
    request = GetProofRequest(name=name, from_epoch=0)
    response = await connection.read(lambda stub: stub.GetProof(request))
    proof = from_response(response, genesis.hash, genesis.validator_set)
    shown = verify_proof(proof, genesis)
    if proof.namespace != NAMESPACES[name.partition("/")[0]] or proof.identifier != identifier:
        raise ProofMalformed(f"the proof is of another leaf than {name}")
    return Proven(proof.value, shown.height)


class ConnectionLedger:
    """Proofs from the validators of a connection."""

    def __init__(self, connection: Connection, wait_seconds: float = WAIT_SECONDS) -> None:
        self._connection = connection
        self._wait_seconds = wait_seconds

    async def closed_poll(self, poll: bytes) -> ProvenPoll:
        """See the port.

        A closed leaf says that no ballot follows; the ballots are read in its state or a later one.
        """
        name = f"polls/{poll.hex()}"
        deadline = time.monotonic() + self._wait_seconds
        while True:
            proven = await self._prove(name, poll)
            if not proven.value:
                raise StewardRefuses("LEAF_UNPROVEN", f"the ledger has no poll {poll.hex()}")
            leaf = PollLeaf.FromString(proven.value)
            if leaf.is_closed:
                break
            # The block that closes it may be there and no final header that names its state.
            if leaf.close_time_ms > await self._newest_time_ms() or time.monotonic() > deadline:
                raise StewardRefuses("POLL_NOT_CLOSED", f"the poll closes at {leaf.close_time_ms}")
            await asyncio.sleep(POLL_SECONDS)
        voters = [one.voter async for one in self._ballots(poll)]
        limit = asyncio.Semaphore(PROOFS_AT_ONCE)

        async def prove(voter: bytes) -> BallotLeaf:
            async with limit:
                ballot = await self._prove(f"ballots/{poll.hex()}/{voter.hex()}", poll + voter, proven.height)
            if not ballot.value:
                raise StewardRefuses(
                    "LEAF_UNPROVEN", f"the ballot of {voter.hex()} that is listed is not there"
                )
            return BallotLeaf.FromString(ballot.value)

        ballots = await asyncio.gather(*(prove(voter) for voter in sorted(set(voters))))
        return ProvenPoll(leaf, tuple(ballots))

    async def ballot(self, poll: bytes, voter: bytes) -> BallotLeaf | None:
        """A proven ballot; None when it is proven that there is none yet. Raises StewardRefuses."""
        proven = await self._prove(f"ballots/{poll.hex()}/{voter.hex()}", poll + voter)
        return BallotLeaf.FromString(proven.value) if proven.value else None

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        """See the port."""
        name = f"memberships/{organization.hex()}/{member.hex()}"
        proven = await self._prove(name, organization + member)
        return MembershipLeaf.FromString(proven.value) if proven.value else None

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        """See the port."""
        proven = await self._prove(f"authorities/{authority.hex()}", authority)
        return AuthorityLeaf.FromString(proven.value) if proven.value else None

    async def count_voters(self, leaf: PollLeaf) -> int:
        """See the port."""
        in_force = (await proven_sets(self._connection))[-1].validators
        seated = set(in_force.organizations)
        validators = {
            address.ledger: address
            for address in self._connection.network.validators
            if address.organization in seated
        }
        answers = await asyncio.gather(
            *(self._count_at(address, leaf) for address in validators.values()), return_exceptions=True
        )
        counts = Counter(answer for answer in answers if isinstance(answer, int))
        needed = in_force.faults_max + 1
        agreed = [count for count, answered in counts.items() if answered >= needed]
        if not agreed:
            said = ", ".join(f"{answered} say {count}" for count, answered in sorted(counts.items()))
            raise StewardRefuses(
                "ELECTORATE_UNKNOWN",
                f"how many voters there are must be said alike by {needed} validators: "
                f"{said or 'none answers'}",
            )
        return max(agreed)

    async def _newest_time_ms(self) -> int:
        """Block time as the validators say, to know whether waiting for a proof is worth while."""
        return await self._connection.newest_block_time_ms()

    async def _prove(self, name: str, identifier: bytes, height_min: int = 0) -> Proven:
        """A leaf, or its absence, in a state at least so high; waits for one."""
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                proven = await self._proof(name, identifier)
            except FailedPrecondition as error:  # no final header names a state yet
                if time.monotonic() > deadline:
                    raise StewardRefuses("LEAF_UNPROVEN", f"{name}: {error.message}") from None
            else:
                if proven.height >= height_min:
                    return proven
                if time.monotonic() > deadline:
                    raise StewardRefuses(
                        "LEAF_UNPROVEN", f"{name} is proven at {proven.height}, wanted is {height_min}"
                    )
            await asyncio.sleep(POLL_SECONDS)

    async def _proof(self, name: str, identifier: bytes) -> Proven:
        try:
            return await prove_leaf(self._connection, name, identifier)
        except (ProofMalformed, ProofInvalid) as error:
            raise StewardRefuses("LEAF_UNPROVEN", f"{name}: {error}") from None

    async def _ballots(self, poll: bytes) -> AsyncIterator[BallotLeaf]:
        token, count = "", 0
        while count <= BALLOTS_MAX:
            request = ListBallotsRequest(poll=f"polls/{poll.hex()}", page_size=PAGE_SIZE, page_token=token)
            page = await self._connection.read(_calling("ListBallots", request))
            for leaf in page.ballots:
                count += 1
                yield leaf
            token = page.next_page_token
            if not token:
                return
        raise StewardRefuses("BALLOTS_MISSING", f"a poll of more than {BALLOTS_MAX} ballots is not recounted")

    async def _count_at(self, address: ValidatorAddress, leaf: PollLeaf) -> int:
        members = await self._voters_of(address, leaf.organization, leaf.open_time_ms)
        if leaf.electorate != ELECTORATE_MEMBERS_OF_MEMBERS:
            return len(members)
        voters: set[bytes] = set()
        for member in members:
            voters |= await self._voters_of(address, member, leaf.open_time_ms)
        return len(voters)

    async def _voters_of(self, address: ValidatorAddress, organization: bytes, time_ms: int) -> set[bytes]:
        """Who was a member then, as one validator says."""
        found: set[bytes] = set()
        token = ""
        for _ in range(PAGES_MAX):
            request = ListMembershipsRequest(
                organization=f"principals/{organization.hex()}", page_size=PAGE_SIZE, page_token=token
            )
            page = await ask(self._connection.ledger(address).ListMemberships(request))
            found |= {leaf.member for leaf in page.memberships if was_member(leaf, time_ms)}
            token = page.next_page_token
            if not token:
                return found
        raise Unavailable("LIST_TOO_LONG", f"more than {PAGES_MAX * PAGE_SIZE} members")


def was_member(leaf: MembershipLeaf, time_ms: int) -> bool:
    """Whether a membership was in force at a block time."""
    has_begun = 0 < leaf.since_time_ms <= time_ms
    return has_begun and (leaf.ended_time_ms == 0 or leaf.ended_time_ms > time_ms)


def _calling(method: str, request: Any) -> Callable[[Any], Awaitable[Any]]:
    return lambda stub: getattr(stub, method)(request)
