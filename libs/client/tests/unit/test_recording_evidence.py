"""A steward and evidence: recorded by whoever is first, tried again later, believed of nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1.service_pb2 import ListEvidenceResponse, SeenEquivocation
from icn.ledger.v1.service_pb2 import ListEquivocationsResponse
from icn.ledger.v1.state_pb2 import EquivocationLeaf
from icn_chain.epochs import EpochSet
from icn_chain.validator_set import Validator as Seat
from icn_chain.validator_set import ValidatorSet
from icn_client import evidence, recording_evidence
from icn_client.acting import TransactionRefused
from icn_client.evidence import seen
from icn_client.keystore import Identity
from icn_client.recording_evidence import (
    LOOKS_BETWEEN_TRIES_MAX,
    RECORDED_PER_LOOK_MAX,
    EvidenceRecorder,
)
from icn_client.submitter import NobodyAnswers
from icn_client.transactions import KeyPair
from icn_kit.errors import Unavailable


def organization_of(number: int) -> bytes:
    return bytes([number]) * 16


def seats_of(numbers: Iterable[int]) -> ValidatorSet:
    return ValidatorSet.of(Seat(organization_of(number), ((1, bytes([number]) * 32),)) for number in numbers)


class Proof:
    """Of one seat and epoch; its signatures are another test's."""

    def __init__(self, epoch: int, seat: int) -> None:
        self.epoch, self.seat = epoch, seat

    def encode(self) -> bytes:
        return bytes([self.epoch, self.seat])

    @classmethod
    def parse(cls, data: bytes, *_: Any) -> Proof:
        if len(data) != 2:
            raise evidence.EvidenceInvalid("no proof")
        return cls(*data)


class Validator:
    """What one tells, and what it says is on the ledger."""

    def __init__(
        self,
        organization: bytes,
        told: Sequence[tuple[int, int]] = (),
        recorded: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.organization = organization
        self.told, self.recorded = [bytes(place) for place in told], list(recorded)
        self.is_away = False

    async def ListEvidence(self, *_: Any, **__: Any) -> ListEvidenceResponse:  # noqa: N802 - named by gRPC
        return ListEvidenceResponse(evidence=[SeenEquivocation(proof=data) for data in self.told])

    async def ListEquivocations(self, *_: Any, **__: Any) -> Any:  # noqa: N802 - named by gRPC
        if self.is_away:
            raise Unavailable("AWAY", "not there")
        leaves = [EquivocationLeaf(epoch=epoch, seat=seat) for epoch, seat in self.recorded]
        return ListEquivocationsResponse(equivocations=leaves)


class Scene:
    """Four validators, a ledger that takes what it is sent unless told otherwise, and one steward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.validators = [Validator(organization_of(seat)) for seat in range(4)]
        self.sent: list[tuple[int, int]] = []
        self.refusal: Exception | None = None
        self.walks = 0
        self.in_force = seats_of(range(4))
        connection: Any = SimpleNamespace(
            genesis=None,
            network=SimpleNamespace(validators=self.validators),
            consensus=lambda validator: validator,
            ledger=lambda validator: validator,
        )
        self.connection = connection
        steward = Identity("bakery", b"b" * 16, 1, (KeyPair.generate(),))
        self.recorder = EvidenceRecorder(connection, None, steward)  # type: ignore[arg-type]

        async def walk(_: Any) -> tuple[EpochSet, ...]:
            self.walks += 1
            return (EpochSet(0, self.in_force),)

        async def find_actor(*_: Any) -> None:
            return None

        async def perform(_submitter: Any, _actor: Any, messages: Any) -> None:
            (message,) = messages
            self.sent.append(tuple(message.record_equivocation.evidence))
            if self.refusal is not None:
                raise self.refusal

        monkeypatch.setattr(evidence, "proven_sets", walk)
        monkeypatch.setattr(evidence, "check", Proof.parse)
        monkeypatch.setattr(evidence.evidence, "parse", Proof.parse)
        monkeypatch.setattr(recording_evidence, "find_actor", find_actor)
        monkeypatch.setattr(recording_evidence, "perform", perform)

    def tell(self, *places: tuple[int, int]) -> None:
        for validator in self.validators[:2]:
            validator.told = [b"no proof", *map(bytes, places)]

    def record(self, *places: tuple[int, int], by: int = 4) -> None:
        for validator in self.validators[:by]:
            validator.recorded = list(places)

    async def outcomes(self) -> list[tuple[str, str, str]]:
        return [(one.evidence, one.outcome, one.reason) for one in await self.recorder.look()]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_it_records_what_is_not_on_the_ledger_and_nothing_twice(scene: Scene) -> None:
    assert await scene.outcomes() == []
    scene.tell((1, 2), (0, 3))
    scene.record((0, 3))
    assert await scene.outcomes() == [("equivocations/1/2", "recorded", "")]
    assert scene.sent == [(1, 2)]
    scene.record((0, 3), (1, 2))
    walks = scene.walks
    assert await scene.outcomes() == []
    assert (scene.sent, scene.walks) == ([(1, 2)], walks), "what is known costs no walk over the epochs"


async def test_who_comes_second_is_content(scene: Scene) -> None:
    scene.tell((1, 2))
    scene.refusal = TransactionRefused("EQUIVOCATION_RECORDED", "another was first")
    assert await scene.outcomes() == [("equivocations/1/2", "recorded", "")]


async def test_a_refusal_is_tried_again_after_twice_as_many_looks_each_time(scene: Scene) -> None:
    scene.tell((1, 2))
    failures = [
        (TransactionRefused("KEY_SCOPE_EXCEEDED", "an older key"), "KEY_SCOPE_EXCEEDED"),
        (NobodyAnswers(1, "nobody"), "NOBODY_ANSWERS"),
        (Unavailable("AWAY", "not there"), "AWAY"),
    ]
    for tries, (failure, reason) in enumerate(failures):
        scene.refusal = failure
        assert await scene.outcomes() == [("equivocations/1/2", "failed", reason)]
        for _ in range(2**tries - 1):
            assert await scene.outcomes() == []
    for _ in range(12):
        scene.sent.clear()
        while not await scene.outcomes():
            pass
    for _ in range(LOOKS_BETWEEN_TRIES_MAX - 1):
        assert await scene.outcomes() == []
    scene.refusal = None
    assert await scene.outcomes() == [("equivocations/1/2", "recorded", "")]


async def test_one_look_sends_a_few_oldest_epoch_first(scene: Scene) -> None:
    places = [(epoch, 1) for epoch in range(RECORDED_PER_LOOK_MAX + 2)]
    scene.tell(*reversed(places))
    await scene.recorder.look()
    assert scene.sent == places[:RECORDED_PER_LOOK_MAX]
    scene.record(*scene.sent)
    await scene.recorder.look()
    assert scene.sent == places


@pytest.mark.parametrize(("saying", "is_recorded"), [(1, False), (2, True)])
async def test_one_validator_alone_keeps_no_proof_from_the_ledger(
    scene: Scene, saying: int, is_recorded: bool
) -> None:
    scene.tell((1, 2))
    scene.record((1, 2), by=saying)
    scene.validators[3].is_away = True
    (one,) = await seen(scene.connection)
    assert (one.is_recorded, one.told_by, one.place) == (is_recorded, (0, 1), (1, 2))
    assert await scene.outcomes() == ([] if is_recorded else [("equivocations/1/2", "recorded", "")])


async def test_what_may_lie_is_counted_of_the_seats_in_force(scene: Scene) -> None:
    scene.tell((1, 2))
    scene.record((1, 2), by=2)
    scene.in_force = seats_of(range(7))
    (one,) = await seen(scene.connection)
    assert not one.is_recorded, "of seven seats two may lie"
    scene.record((1, 2), by=3)
    (one,) = await seen(scene.connection)
    assert one.is_recorded
    scene.in_force = seats_of(range(2, 6))
    (one,) = await seen(scene.connection)
    assert not one.is_recorded, "two have given their seats up: what they say counts no more"
