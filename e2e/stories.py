"""Stories told through the platform's public doors, and told again while its services are killed."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from icn.governance.v1 import service_pb2 as governance
from icn.kit.v1.command_pb2 import SignedCommand
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.state_pb2 import BallotLeaf
from icn.ledger.v1.transaction_pb2 import AuthorityRules
from icn_client import transactions
from icn_client.acting import Actor, now_ms
from icn_client.commands import sign_command
from icn_client.connection import Connection, NetworkFile, connect
from icn_client.decisions import countersign, founding_decision
from icn_client.governance import new_opening, new_secret
from icn_client.submitter import Submitter
from icn_client.transactions import KeyPair, new_identifier
from icn_tally.polls.commitments import Opening, lot_commitment
from icn_tally.polls.documents import DecisionText, Draft, PollDocument
from icn_tally.polls.results import count_poll

from e2e.doors import POLL_SECONDS, SOON_SECONDS, Door, Ended, GrpcDoor, Refused, RestDoor

EXPIRY_MS = 300_000
HOUR_MS = 3_600_000
OPEN_SECONDS = 4.0
OPEN_WRITES = 12
"""A poll is open as long as so many of the slowest write, so that a slow machine casts in time."""
OPEN_SECONDS_KILLED = 20.0
"""Longer while parts are being killed."""
KILL_SECONDS_MAX = 0.03
"""After the bytes of a point have left, at most."""
SEED_VARIABLE = "ICN_STORY_SEED"
FOUNDERS = ("bakery", "housing", "farm", "workshop")
SEATS = 4
YES, NO = [[1]], [[2]]


BEHIND = frozenset(
    {
        "ACCOUNT_UNKNOWN",
        "CONTROLLER_UNKNOWN",
        "LEDGER_BEHIND",
        "NOT_A_MEMBER",
        "NOT_OF_THE_ORGANIZATION",
        "PROPOSAL_NOT_CLOSED",
        "PROPOSAL_NOT_OPEN",
    }
)
"""Refusals of a service that has not yet seen what the ledger has."""


class Kills:
    """Each service dies once, at a point of the story that the seed chooses.

    Args:
        platform: running.
        points: how many writes the story has.
        seed: printed by `tell`; the same seed kills at the same points.
    """

    def __init__(self, platform: Any, points: int, seed: int) -> None:
        chance = random.Random(seed)
        self._platform = platform
        self._tasks: list[asyncio.Task[None]] = []
        names = ["gateway", "identity", "governance", "marketplace", "reputation"]
        names += [f"vm-{chance.randrange(SEATS)}", f"validator-{chance.randrange(SEATS)}"]
        self.plan = {name: (chance.randint(1, points), chance.uniform(0, KILL_SECONDS_MAX)) for name in names}

    def at(self, point: int) -> None:
        """Kill whoever is to die now, while what is written at this point is on its way."""
        for name, (when, seconds) in self.plan.items():
            if when == point:
                self._tasks.append(asyncio.create_task(self._kill(name, seconds)))

    async def _kill(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._platform.kill_process, name)

    async def all_back(self) -> None:
        """Return when all have died and run again."""
        await asyncio.gather(*self._tasks)
        assert len(self._tasks) == len(self.plan), "the story has fewer points than it had"


class Play:
    """One telling of a story: who acts, through which door, and what was acknowledged.

    Args:
        door: carries what is written, and reads.
        other: what is read here must be the same there.
        genesis_hash: of the zone.
        founders: by name.
        kills: what dies meanwhile.
        pace: seconds of the slowest write of a telling without kills, by which polls are open; from this
            telling's own where left out.
    """

    def __init__(
        self,
        door: Door,
        other: Door,
        genesis_hash: bytes,
        founders: Mapping[str, Actor],
        kills: Kills | None = None,
        pace: float | None = None,
    ) -> None:
        self.door = door
        self.genesis_hash = genesis_hash
        self.founders = founders
        self.points = 0
        self._other = other
        self._kills = kills
        self._pace = pace
        self.slowest = 0.0
        self._ended: list[Ended] = []
        self._answered: list[tuple[SignedCommand, dict[str, Any]]] = []

    async def act(self, actor: Actor, *messages: Any) -> Ended:
        """Sign and send one transaction; its end, applied or refused."""
        expire_time_ms = now_ms() + EXPIRY_MS
        signed = actor.sign(messages, expire_time_ms)
        ended: Ended = await self._at_a_point(self.door.transact(signed, expire_time_ms))
        assert ended.transaction == signed.transaction_id.hex()
        self._ended.append(ended)
        return ended

    async def apply(self, actor: Actor, *messages: Any) -> Ended:
        """`act` for what must take effect."""
        ended = await self.act(actor, *messages)
        assert ended.status == "applied", ended
        return ended

    async def say(self, actor: Actor, request: Message) -> dict[str, Any]:
        """Sign and send one command; the answer. While the service is `BEHIND` it is signed anew."""
        area = request.DESCRIPTOR.file.package.split(".")[1]
        method = f"/icn.{area}.v1.{area.title()}Service/{request.DESCRIPTOR.name}"
        answer: dict[str, Any] = await self._at_a_point(self._say(actor, method, request))
        return answer

    async def _say(self, actor: Actor, method: str, request: Message) -> dict[str, Any]:
        deadline = time.monotonic() + SOON_SECONDS
        while True:
            signed = sign_command(self.genesis_hash, actor.keys, actor.principal, method, request)
            try:
                answer = await self.door.command(signed)
            except Refused as refusal:
                if refusal.reason not in BEHIND or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS)
                continue
            self._answered.append((signed, answer))
            return answer

    async def _at_a_point(self, sending: Awaitable[Any]) -> Any:
        self.points += 1
        if self._kills is not None:
            self._kills.at(self.points)
        started = time.monotonic()
        found = await sending
        self.slowest = max(self.slowest, time.monotonic() - started)
        return found

    async def until(self, read: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool]) -> Any:
        """What is read once it is so; events take their time, and a validator may be behind."""
        deadline = time.monotonic() + SOON_SECONDS
        found: Any = None
        while True:
            try:
                found = await read()
            except Refused as refusal:
                found = refusal
            else:
                if is_so(found):
                    return found
            assert time.monotonic() < deadline, f"it did not come: {found}"
            await asyncio.sleep(POLL_SECONDS)

    async def seen(
        self, path: str, request: Message, part: str, is_so: Callable[[Any], bool] = lambda _found: True
    ) -> Any:
        """One part of an answer, once it is so at this play's door and the same at the other."""

        async def read() -> tuple[Any, Any]:
            here, there = await asyncio.gather(self.door.read(path, request), self._other.read(path, request))
            return here[part], there[part]

        found = await self.until(read, lambda pair: pair[0] == pair[1] and is_so(pair[0]))
        return found[0]

    async def money(self, account: bytes, balance_minor: int) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """An account and its entries once the balance is that and nothing is held, the same at both doors."""

        async def read() -> Any:
            return await asyncio.gather(
                *(door.account(account) for door in (self.door, self._other)),
                *(door.entries(account) for door in (self.door, self._other)),
            )

        def is_so(found: Any) -> bool:
            here, there, entries_here, entries_there = found
            wanted = (here["balance_minor"], here["held_minor"]) == (balance_minor, 0)
            return bool(wanted and here == there and entries_here == entries_there)

        here, _, entries, _ = await self.until(read, is_so)
        return here, entries

    def person(self, sponsor: Actor) -> tuple[Actor, Any]:
        """Somebody with a new key, and what opens their controller when the sponsor signs it."""
        key, principal = KeyPair.generate(), new_identifier()
        opening = transactions.open_controller(principal, 1, [transactions.controller_key(key.public_keys)])
        return Actor(self.genesis_hash, principal, sponsor.payer, [key]), opening

    async def found(self, vouches_min: int = 0) -> bytes:
        """The founders' federation, whose polls are open for a second at least; one countersignature short
        it is none."""
        four = list(self.founders.values())
        authority = new_identifier()
        text = DecisionText(authority, "Founding of the Valley Federation", "Four cooperatives federate.")
        members = [one.principal for one in four]
        rules = AuthorityRules(vouches_min=vouches_min, poll_ms_min=1_000)
        body = founding_decision(self.genesis_hash, text, members, now_ms() + HOUR_MS, rules)
        signed = [countersign(self.genesis_hash, body, one.principal, one.keys[0]) for one in four]
        short = await self.act(four[0], transactions.enact_decision(body, signed[:3]))
        assert short.status == "refused", short
        await self.apply(four[0], transactions.enact_decision(body, signed))
        return authority

    async def decide(
        self,
        draft: Draft,
        ballots: Sequence[tuple[Actor, Sequence[Sequence[int]], bytes]],
        tellers: Sequence[Actor] = (),
    ) -> tuple[bytes, dict[str, Any]]:
        """Draft, poll, ballots (voter, ranking, through), count, recount, three countersignatures and the
        enactment; the proposal and what it came to."""
        proposer, *_ = self.founders.values()
        proposal = new_identifier()
        path, get = (
            f"/v1/proposals/{proposal.hex()}",
            governance.GetProposalRequest(name=f"proposals/{proposal.hex()}"),
        )
        await self.say(proposer, governance.CreateProposal(proposal=proposal, draft=draft.to_bytes()))
        lots = {teller.principal: (teller, new_secret()) for teller in tellers}
        commitments = {
            principal: lot_commitment(self.genesis_hash, proposal, principal, secret)
            for principal, (_, secret) in lots.items()
        }
        for principal, (teller, _) in lots.items():
            await self.say(teller, governance.CommitLot(proposal=proposal, commitment=commitments[principal]))
        seconds = max(OPEN_SECONDS, OPEN_WRITES * (self.slowest if self._pace is None else self._pace))
        seconds += OPEN_SECONDS_KILLED if self._kills is not None else 0
        poll = PollDocument(
            genesis=self.genesis_hash,
            poll=proposal,
            draft=draft,
            lot_commitments=tuple(commitments[principal] for principal in draft.tellers),
            close_time_ms=now_ms() + int(seconds * 1000),
        )
        await self.say(proposer, governance.OpenProposal(proposal=proposal, document=poll.to_bytes()))
        await self.apply(
            proposer,
            transactions.open_poll(
                proposal,
                draft.organization,
                poll.digest(),
                poll.close_time_ms,
                draft.ledger_electorate,
            ),
        )
        openings = [new_opening(voter.principal, ranking) for voter, ranking, _ in ballots]
        await asyncio.gather(
            *(
                self._vote(poll, voter, opening, through)
                for (voter, _, through), opening in zip(ballots, openings, strict=True)
            )
        )
        if lots:
            # As governance has it, which takes secrets a moment after the ledger has closed the poll.
            await self.seen(path, get, "proposal", lambda found: found["state"] in ("closed", "counted"))
        for teller, secret in lots.values():
            await self.say(teller, governance.RevealLot(proposal=proposal, secret=secret))
        shown = await self.seen(path, get, "proposal", lambda found: bool(found["decision"]))
        await self._recount(poll, {principal: secret for principal, (_, secret) in lots.items()})
        decision = bytes.fromhex(shown["decision"].rpartition("/")[2])
        body = bytes.fromhex(
            (
                await self.door.read(
                    f"/v1/certificates/{decision.hex()}",
                    governance.GetDecisionRequest(name=f"decisions/{decision.hex()}"),
                )
            )["decision"]["body"]
        )
        stewards = list(self.founders.values())[:3]
        signed = [countersign(self.genesis_hash, body, one.principal, one.keys[0]) for one in stewards]
        counts = [await self._at_a_point(self.door.countersign(decision, one)) for one in signed]
        assert counts == [1, 2, 3]
        short = await self.act(proposer, transactions.enact_decision(body, signed[:2]))
        assert (short.status, short.reason) == ("refused", "QUORUM_NOT_MET"), short
        await self.apply(proposer, transactions.enact_decision(body, signed))
        shown = await self.seen(path, get, "proposal", lambda found: found["state"] == "enacted")
        names = ("state", "ballots", "openings", "is_complete", "is_carried", "winners")
        return proposal, {name: shown[name] for name in names}

    async def _vote(self, poll: PollDocument, voter: Actor, opening: Opening, through: bytes) -> None:
        commitment = opening.commitment(self.genesis_hash, poll.poll)
        await self.apply(voter, transactions.cast_ballot(poll.poll, commitment, through))
        request = governance.OpenBallot(proposal=poll.poll, salt=opening.salt, ballot=opening.ballot)
        await self.say(voter, request)

    async def _recount(self, poll: PollDocument, secrets: Mapping[bytes, bytes]) -> None:
        """As a steward would, of what this door shows; both doors show the same result."""
        name = poll.poll.hex()
        cast = await self.door.read(
            f"/v1/polls/{name}/ballots", ledger.ListBallotsRequest(poll=f"polls/{name}")
        )
        opened = await self.door.read(
            f"/v1/proposals/{name}/openings", governance.ListOpeningsRequest(proposal=f"proposals/{name}")
        )
        leaves = [
            BallotLeaf(
                poll=poll.poll,
                voter=bytes.fromhex(one["voter"]),
                commitment=bytes.fromhex(one["commitment"]),
                through=bytes.fromhex(one["through"]),
                cast_time_ms=one["cast_time_ms"],
                payer=bytes.fromhex(one["payer"]),
            )
            for one in cast["ballots"]
        ]
        openings = [
            Opening(
                bytes.fromhex(one["voter"].rpartition("/")[2]),
                bytes.fromhex(one["salt"]),
                bytes.fromhex(one["ballot"]),
            )
            for one in opened["openings"]
        ]
        counted = count_poll(poll, leaves, openings, secrets).to_bytes()
        assert counted == await self.door.result(poll.poll) == await self._other.result(poll.poll)

    async def check_acknowledged(self) -> None:
        """Nothing that was acknowledged is lost or done twice: both doors know every transaction as it was
        answered, and give every command, sent again, the answer it had."""
        for ended in self._ended:
            identifier = bytes.fromhex(ended.transaction)
            for door in (self.door, self._other):

                async def read(door: Door = door, identifier: bytes = identifier) -> Ended:
                    return await door.transaction(identifier)

                assert await self.until(read, lambda _found: True) == ended
        for signed, answer in self._answered:
            for door in (self.door, self._other):
                assert await door.command(signed) == answer


Story = Callable[[Play], Awaitable[dict[str, Any]]]


def tell(platform: Any, lane: int, story: Story) -> dict[str, Any]:
    """Play a story through REST, through gRPC, and through REST while every service is killed once; the
    numbers, which are the same all three times. Of a platform that runs elsewhere only the gateway's door is
    there."""
    return asyncio.run(_tell(platform, lane, story))


async def _tell(platform: Any, lane: int, story: Story) -> dict[str, Any]:
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbits(32))
    network = NetworkFile.load(platform.directory)
    genesis_hash = network.genesis.hash
    async with RestDoor(platform.gateway_url) as rest, connect(network) as connection:
        founders = {
            name: await founder_acting(connection, keys, lane)
            for name, keys in zip(FOUNDERS, platform.founders, strict=True)
        }

        async def play(name: str, door: Door, other: Door, **how: Any) -> tuple[Play, dict[str, Any]]:
            started = time.monotonic()
            played = Play(door, other, genesis_hash, founders, **how)
            told = await story(played)
            await played.check_acknowledged()
            _note(f"{name}, {played.points} writes: {time.monotonic() - started:.1f} s")
            return played, told

        async with Submitter(connection.doors()) as submitter:
            grpc = rest if network.is_remote else GrpcDoor(connection, submitter)
            first, told = await play("through REST", rest, grpc)
            if not network.is_remote:
                _, again = await play("through gRPC", grpc, rest)
                assert_same(again, told)
            kills = Kills(platform, first.points, seed)
            _note(f"{SEED_VARIABLE}={seed} kills {kills.plan}")
            _, killed = await play("with kills", rest, grpc, kills=kills, pace=first.slowest)
            await kills.all_back()
            assert_same(killed, told)
    return told


def assert_same(found: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Every number is the same."""
    differing = {name: (found[name], told[name]) for name in told if found[name] != told[name]}
    assert not differing, differing


async def founder_acting(connection: Connection, keys: Any, lane: int) -> Actor:
    """A founder's principal with its keys, behind what it has sent on this lane."""
    principal: bytes = keys.founder.principal
    controller = await connection.controller(principal)
    last = next((one.last_sequence for one in controller.lanes if one.lane == lane), 0)
    return Actor(
        connection.genesis.hash,
        principal,
        principal,
        [KeyPair(keys.keys.values())],
        lane=lane,
        next_sequence=last + 1,
    )


def _note(text: str) -> None:
    sys.stderr.write(f"\n{text}")
