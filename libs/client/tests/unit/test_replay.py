"""What a replay ends with when validators are away or disagree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_REFUSED, Receipt
from icn_client import replay as module
from icn_client.acting import Actor
from icn_client.connection import Connection, ValidatorAddress
from icn_client.replay import MOVES_NOTHING, NOTHING_FUNDS_IT, Party, ReplayFailed, agreed_root, quorum_root
from icn_client.replay_file import Row, Transfers
from icn_client.submitter import End, Outcome, Submitter
from icn_client.transactions import KeyPair, Signed
from icn_kit.errors import Unavailable


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGREEMENT_SECONDS", 0.1)
    monkeypatch.setattr(module, "STRAGGLER_SECONDS", 0.05)
    monkeypatch.setattr(module, "AGREEMENT_POLL_SECONDS", 0.005)


class FakeConnection:
    """Validators that answer with a root, the last with None ``late`` times first; a string: it is away."""

    def __init__(self, *roots: bytes | str, late: int = 0) -> None:
        addresses = [ValidatorAddress(seat, f"v{seat}", b"", "", "") for seat in range(len(roots))]
        self.network = SimpleNamespace(validators=tuple(addresses))
        self.roots = roots
        self.late = late
        self.preferred: list[int] = []

    async def block_at(self, address: ValidatorAddress, height: int) -> Any:
        root = self.roots[address.seat]
        if isinstance(root, str):
            raise Unavailable("AWAY", root)
        if address.seat == len(self.roots) - 1 and self.late > 0:
            self.late -= 1
            return None
        return SimpleNamespace(state_root=root)

    def prefer(self, address: ValidatorAddress) -> None:
        self.preferred.append(address.seat)


def connected(*roots: bytes | str, late: int = 0) -> tuple[Connection, FakeConnection]:
    fake = FakeConnection(*roots, late=late)
    return cast("Connection", fake), fake


async def test_a_validator_away_for_good_does_not_cost_the_result() -> None:
    connection, fake = connected("gone", b"r", b"r", b"r")
    assert await quorum_root(connection, 7) == (b"r", ["v0"])
    assert fake.preferred == [1], "balances are read from a validator that has executed the height"


async def test_a_validator_that_is_a_little_late_is_waited_for() -> None:
    connection, _ = connected(b"r", b"r", b"r", b"r", late=3)
    assert await quorum_root(connection, 7) == (b"r", [])


async def test_fewer_than_a_quorum_is_no_agreement() -> None:
    connection, _ = connected("gone", b"r", b"r", "gone")
    with pytest.raises(ReplayFailed, match=r"2 of 4 validators have executed height 7, 3 are needed.*v0, v3"):
        await quorum_root(connection, 7)


async def test_one_validator_with_another_root_is_a_disagreement_although_a_quorum_agrees() -> None:
    connection, _ = connected(b"r", b"r", b"x", b"r")
    with pytest.raises(ReplayFailed, match="disagree"):
        await quorum_root(connection, 7)


async def test_the_story_still_wants_every_validator_s_root() -> None:
    connection, _ = connected(b"r", b"r", b"r", "gone")
    with pytest.raises(ReplayFailed, match="v3"):
        await agreed_root(connection, 7)


class FundsNobody:
    """Commits every transaction without effect, for want of funds."""

    def __init__(self) -> None:
        self.room = 10
        self.sent: list[Signed] = []

    def put(self, signed: Signed, expire_time_ms: int) -> None:
        self.sent.append(signed)

    async def take(self) -> list[Outcome]:
        receipt = Receipt(status=RECEIPT_STATUS_REFUSED, reason=module.LACK_OF_FUNDS)
        sent, self.sent = self.sent, []
        return [Outcome(signed, End.COMMITTED, 1, receipt.SerializeToString()) for signed in sent]


async def test_a_row_given_up_says_whether_it_lacked_funds_or_moves_nothing() -> None:
    rows = (Row(0, 2, 0, 1, 0), Row(1, 3, 0, 0, 5), Row(2, 4, 0, 1, 5))
    actor = Actor(b"g" * 32, b"p" * 16, b"p" * 16, (KeyPair.generate(),))
    run = module._Run(
        cast("Submitter", FundsNobody()),
        [Party(actor, bytes([position]) * 16) for position in range(2)],
        Transfers(("a", "b"), frozenset(), rows, "U"),
        lambda *_told: None,
    )
    await run.run()
    assert sorted(run.problems) == [
        f"line 2: {MOVES_NOTHING}",
        f"line 3: {MOVES_NOTHING}",
        f"line 4: {NOTHING_FUNDS_IT}",
    ]


async def test_a_disagreement_at_the_end_still_carries_what_came_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection, _ = connected(b"r", b"r", b"x", b"r")
    connection.doors = lambda: [cast("Any", object())]  # type: ignore[method-assign]

    class NoRegistration:
        unit, height = b"", 3

        def __init__(self, *_arguments: object) -> None: ...

        async def run(self) -> list[Any]:
            return []

    monkeypatch.setattr(module, "_Registration", NoRegistration)
    monkeypatch.setattr(module.Submitter, "__aenter__", _itself)
    rows = (Row(0, 2, 0, 1, 0),)
    with pytest.raises(ReplayFailed, match="disagree") as told:
        await module.replay(
            connection, [], Transfers(("a", "b"), frozenset(), rows, "U"), lambda *_told: None
        )
    assert told.value.result is not None
    shown = told.value.result.to_dict()
    assert (shown["rows"], shown["refused"], shown["root"], shown["sum"]) == (1, 1, None, None)


async def _itself(submitter: Submitter) -> Submitter:
    return submitter
