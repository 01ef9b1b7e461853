"""How many voters there are is believed when more validators say it alike than may lie."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from icn.ledger.v1.service_pb2 import ListMembershipsResponse
from icn.ledger.v1.state_pb2 import MembershipLeaf, PollLeaf
from icn.ledger.v1.transaction_pb2 import ELECTORATE_MEMBERS
from icn_client.connection import ValidatorAddress
from icn_client.proven_ledger import ConnectionLedger, faulty_max
from icn_client.steward import StewardRefuses
from icn_kit.errors import Unavailable

LEAF = PollLeaf(organization=b"f" * 16, electorate=ELECTORATE_MEMBERS, open_time_ms=10)


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
        ValidatorAddress(seat, str(seat), bytes(16), "", str(seat % (addresses or len(answers))))
        for seat in range(len(answers))
    ]
    connection: Any = SimpleNamespace(
        network=SimpleNamespace(validators=validators),
        genesis=SimpleNamespace(validators=validators),
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


def test_how_many_may_lie() -> None:
    assert [faulty_max(count) for count in (1, 2, 3, 4, 6, 7, 10)] == [0, 0, 0, 1, 1, 2, 3]
