"""The steward's program: what it does about each decision, and who being first or away changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from icn.governance.v1.service_pb2 import Decision as ShownDecision
from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ACTIVE,
    AuthorityLeaf,
    ControllerLeaf,
    MembershipLeaf,
)
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_client import stewarding
from icn_client.acting import TransactionRefused
from icn_client.decisions import build_decision, countersign, decision_id, with_steward_key
from icn_client.keystore import Identity
from icn_client.steward import StewardRefuses
from icn_client.stewarding import StewardProgram, enact
from icn_client.submitter import NobodyAnswers
from icn_client.transactions import KeyPair, controller_key
from icn_kit.errors import Unavailable

GENESIS = bytes(range(32))
VALLEY = b"v" * 16
POLL = b"p" * 16
COOPS = [bytes([number]) * 16 for number in range(1, 5)]
KEYS = {coop: KeyPair.generate() for coop in COOPS}
BODY = build_decision(authority=VALLEY, subject=bytes(32), expire_time_ms=1, poll=POLL)
ID = decision_id(GENESIS, BODY)


class Service:
    """Governance as it answers one steward."""

    def __init__(self, shown: list[ShownDecision]) -> None:
        self.shown = shown
        self.signatures: list[Countersignature] = []
        self.is_away = False

    async def decisions(self, *_: Any) -> Any:
        for one in self.shown:
            yield one

    async def countersignatures(self, _: bytes) -> list[Countersignature]:
        if self.is_away:
            raise Unavailable("SERVICE_AWAY", "not there")
        return list(self.signatures)

    async def submit(self, identifier: bytes, signature: Countersignature) -> int:
        assert identifier == ID
        self.signatures.append(signature)
        return len(self.signatures)


class Leaves:
    def __init__(self) -> None:
        self.members = set(COOPS)

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        return MembershipLeaf(status=MEMBERSHIP_STATUS_ACTIVE) if member in self.members else None

    async def authority(self, authority: bytes) -> AuthorityLeaf:
        return AuthorityLeaf(authority=authority, members=4)


async def controller(principal: bytes) -> ControllerLeaf:
    own = ControllerLeaf(threshold=2, keys=[controller_key(KeyPair.generate().public_keys)])
    return ControllerLeaf(threshold=2, keys=list(with_steward_key(own, KEYS[principal])))


def shown(poll: bytes = POLL) -> ShownDecision:
    return ShownDecision(
        name=f"decisions/{ID.hex()}",
        body=BODY,
        authority=f"organizations/{VALLEY.hex()}",
        proposal=f"proposals/{poll.hex()}" if poll else "",
    )


class Scene:
    """A steward of the first co-op; the recount and the ledger do as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service, self.leaves = Service([shown()]), Leaves()
        self.enacted: list[int] = []
        self.refusal: Exception | None = None
        self.recount_refusal: StewardRefuses | None = None
        connection: Any = SimpleNamespace(genesis=SimpleNamespace(hash=GENESIS), controller=controller)
        self.service.connection = connection  # type: ignore[attr-defined]
        steward = Identity("bakery", COOPS[0], 1, (KEYS[COOPS[0]],))
        program = StewardProgram(connection, None, steward, ledger=self.leaves)  # type: ignore[arg-type]
        program._governance = self.service  # type: ignore[assignment]
        self.program = program

        async def examine(decision: Any, proposal: bytes) -> bytes:
            assert proposal == POLL
            if self.recount_refusal is not None:
                raise self.recount_refusal
            return BODY

        async def find_actor(*_: Any) -> Any:
            return SimpleNamespace(principal=COOPS[0])

        async def perform(_submitter: Any, _actor: Any, messages: Any) -> Any:
            if self.refusal is not None:
                raise self.refusal
            (message,) = messages
            self.enacted.append(len(message.enact_decision.countersignatures))
            return SimpleNamespace(height=9), None

        monkeypatch.setattr(program, "_examine", examine)
        monkeypatch.setattr(stewarding, "find_actor", find_actor)
        monkeypatch.setattr(stewarding, "perform", perform)

    def sign(self, *coops: bytes) -> None:
        self.service.signatures += [countersign(GENESIS, BODY, coop, KEYS[coop]) for coop in coops]

    async def outcome(self) -> tuple[str, str]:
        (step,) = await self.program.look()
        return step.outcome, step.reason


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_it_countersigns_waits_and_enacts_with_more_than_two_thirds(scene: Scene) -> None:
    assert await scene.outcome() == ("countersigned", "")
    assert await scene.outcome() == ("waiting", "")
    scene.sign(COOPS[1])
    assert await scene.outcome() == ("waiting", "")
    assert scene.enacted == []
    scene.sign(COOPS[2])
    assert await scene.outcome() == ("enacted", "")
    assert scene.enacted == [3]


async def test_it_signs_nothing_that_it_refuses(scene: Scene) -> None:
    scene.sign(COOPS[1], COOPS[2], COOPS[3])
    scene.recount_refusal = StewardRefuses("RESULT_DIFFERS", "another result")
    assert await scene.outcome() == ("refused", "RESULT_DIFFERS")
    assert (len(scene.service.signatures), scene.enacted) == (3, [])


@pytest.mark.parametrize("reason", ["DECISION_EXISTS", "POLL_DECIDED"])
async def test_who_comes_second_is_content(scene: Scene, reason: str) -> None:
    scene.sign(COOPS[1], COOPS[2])
    scene.refusal = TransactionRefused(reason, "enacted before")
    assert await scene.outcome() == ("enacted", "")


async def test_other_failures_are_told_and_tried_again(scene: Scene) -> None:
    scene.sign(COOPS[1], COOPS[2])
    for refusal, reason in (
        (TransactionRefused("DECISION_EXPIRED", "late"), "DECISION_EXPIRED"),
        (NobodyAnswers(1, "nobody"), "NOBODY_ANSWERS"),
    ):
        scene.refusal = refusal
        assert await scene.outcome() == ("failed", reason)
    scene.refusal = None
    scene.service.is_away = True
    assert await scene.outcome() == ("failed", "SERVICE_AWAY")
    scene.service.is_away = False
    assert await scene.outcome() == ("enacted", "")


async def test_countersignatures_that_would_void_the_enactment_are_left_out(scene: Scene) -> None:
    scene.sign(COOPS[1])
    forged = countersign(GENESIS, b"another", COOPS[2], KEYS[COOPS[2]])
    scene.service.signatures.append(forged)
    assert await scene.outcome() == ("countersigned", "")
    scene.sign(COOPS[3])
    assert await scene.outcome() == ("enacted", "")
    assert scene.enacted == [3]


async def test_it_leaves_alone_what_is_not_its_own(scene: Scene) -> None:
    scene.service.shown = [shown(poll=b"")]
    assert await scene.program.look() == []
    scene.service.shown = [shown()]
    assert await scene.program.look(b"q" * 16) == []
    scene.leaves.members = {COOPS[1]}
    assert await scene.program.look() == []


async def test_a_malformed_name_is_a_failure_not_a_crash(scene: Scene) -> None:
    wrong = shown()
    wrong.authority = "organizations/zz"
    scene.service.shown = [wrong, shown()]
    outcomes = sorted(step.outcome for step in await scene.program.look())
    assert outcomes == ["countersigned", "failed"]


async def test_an_enactment_that_is_refused_otherwise_is_raised(scene: Scene) -> None:
    scene.refusal = TransactionRefused("QUORUM_NOT_MET", "two of four")
    with pytest.raises(TransactionRefused):
        await enact(None, None, BODY, [])  # type: ignore[arg-type]
