"""How many voters there are is believed when more validators say it alike than may lie."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from icn.ledger.v1.service_pb2 import ListMembershipsResponse
from icn.ledger.v1.state_pb2 import MembershipLeaf, PollLeaf
from icn.ledger.v1.transaction_pb2 import ELECTORATE_MEMBERS
from icn_chain.epochs import EpochSet
from icn_chain.validator_set import Validator, ValidatorSet
from icn_client import proven_ledger
from icn_client.connection import ValidatorAddress
from icn_client.proven_ledger import ConnectionLedger
from icn_client.steward import StewardRefuses
from icn_kit.errors import Unavailable

pytestmark = pytest.mark.usefixtures("in_force")

LEAF = PollLeaf(organization=b"f" * 16, electorate=ELECTORATE_MEMBERS, open_time_ms=10)


def organization_of(number: int) -> bytes:
    return bytes([number]) * 16


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Who holds the seats, by number; as many as validators are asked where nothing is put in."""
    numbers: list[int] = []

    async def walk(connection: Any) -> tuple[EpochSet, ...]:
        seated = numbers or range(len(connection.network.validators))
        seats = (Validator(organization_of(number), ((1, bytes([number]) * 32),)) for number in seated)
        return (EpochSet(0, ValidatorSet.of(seats)),)

    monkeypatch.setattr(proven_ledger, "proven_sets", walk)
    return numbers


def ledger_of(*answers: int | None, addresses: int | None = None) -> ConnectionLedger:
    """Validators that list so many members, None for one that does not answer."""

    def stub(address: ValidatorAddress) -> Any:
        async def list_memberships(_: Any) -> ListMembershipsResponse:
            count = answers[address.seat]
            if count is None:
                raise Unavailable("AWAY", "not there")
            leaves = [MembershipLeaf(member=bytes([number]) * 16, since_time_ms=1) for number in range(count)]
            return ListMembershipsResponse(memberships=leaves)

        return SimpleNamespace(ListMemberships=list_memberships)

    validators = [
        ValidatorAddress(seat, str(seat), organization_of(seat), "", str(seat % (addresses or len(answers))))
        for seat in range(len(answers))
    ]
    connection: Any = SimpleNamespace(
        network=SimpleNamespace(validators=validators),
        ledger=stub,
    )
    return ConnectionLedger(connection)


@pytest.mark.parametrize(
    ("answers", "voters"),
    [
        ((4, 4, 4, 4), 4),
        ((4, 1, 4, None), 4),
        ((1, 4, 4, 5), 4),
        ((4, 4, 5, 5), 5),
        ((3,), 3),
        ((2, 2, 9), None),
    ],
)
async def test_the_largest_number_that_f_plus_1_say(answers: tuple[int, ...], voters: int | None) -> None:
    # Of three validators none may lie: f = 0, and the largest is believed, which only makes it stricter.
    expected = 9 if voters is None else voters
    assert await ledger_of(*answers).count_voters(LEAF) == expected


@pytest.mark.parametrize(
    "answers", [(1, None, None, None), (1, 4, None, None), (1, 2, 3, 4), (None, None, None, None)]
)
async def test_one_lying_validator_decides_nothing_when_others_are_away(
    answers: tuple[int | None, ...],
) -> None:
    with pytest.raises(StewardRefuses) as refusal:
        await ledger_of(*answers).count_voters(LEAF)
    assert refusal.value.reason == "ELECTORATE_UNKNOWN"
    assert "by 2 validators" in str(refusal.value)


async def test_one_validator_at_several_names_is_one() -> None:
    with pytest.raises(StewardRefuses):
        await ledger_of(1, 1, 1, 1, addresses=1).count_voters(LEAF)


async def test_the_seats_in_force_say_how_many_may_lie_and_who_is_asked(in_force: list[int]) -> None:
    in_force[:] = range(7)  # three have come that this client has no address of
    assert await ledger_of(5, 5, 5, 1).count_voters(LEAF) == 5
    with pytest.raises(StewardRefuses, match="by 3 validators"):
        await ledger_of(5, 5, 1, None).count_voters(LEAF)
    in_force[:] = (1, 2, 3, 4)  # the first has given its seat up
    assert await ledger_of(9, 9, 5, 5).count_voters(LEAF) == 5
