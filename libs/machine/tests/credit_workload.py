"""Mutual credit for the blocks of `workload`: two units with policies, and every kind that moves in them."""

from __future__ import annotations

from random import Random

from icn.ledger.v1 import transaction_pb2 as pb

from libs.machine.tests.credit_messages import (
    cancel_order,
    charge_demurrage,
    close_account,
    close_period,
    confirm_openings,
    freeze_account,
    legs,
    offer_exchange,
    open_bringing,
    open_with,
    order_transfers,
    pledge_account,
    release_order,
    set_unit_policy,
    take_exchange,
    void_exchange,
    write_off,
)
from libs.machine.tests.institutions import FEDERATION
from libs.machine.tests.zone import Member, create_unit, identifier, open_account, set_floor, transfer

SHARED, GOVERNED = identifier("unit with a policy"), identifier("unit that the federation governs")
FUND = identifier("fund of the shop")
BLOCK_MS = 1_000


class CreditDraws:
    """Draws messages of some members and the shop; what is refused at execution is part of it."""

    def __init__(self, draw: Random, shop: Member, members: list[Member]) -> None:
        self.draw = draw
        self.shop = shop
        self.members = members
        self.shared = [identifier(f"shared account {number}") for number in range(len(members))]
        self.governed = [identifier(f"governed account {number}") for number in range(len(members))]
        self.offered: dict[bytes, int] = {}
        self.ordered: dict[bytes, pb.OrderTransfers] = {}
        """What was drawn last under an id, whether or not it took effect: what others take and release."""

    def units(self) -> tuple[Member, list[pb.Message]]:
        """Opens the units, and the fund of one of them; behind the founding of the federation."""
        governed = pb.CreateUnit(
            unit=GOVERNED, code="HOUR", scale=2, default_floor_minor=-500, authority=FEDERATION
        )
        return self.shop, [
            create_unit(SHARED, floor_minor=-500),
            pb.Message(create_unit=governed),
            open_account(FUND, SHARED),
            set_floor(FUND, -10_000),
            pledge_account(FUND, 5_000),
            set_unit_policy(SHARED, **self.policy()),
        ]

    def accounts(self, number: int) -> list[pb.Message]:
        """Opens those of a member."""
        return [open_account(self.shared[number], SHARED), open_account(self.governed[number], GOVERNED)]

    def policy(self) -> dict[str, int | bytes]:
        """Any that acts."""
        draw = self.draw
        return {
            "growth_ppm": draw.choice([0, 500_000]),
            "growth_max_minor": 300,
            "counterparty_max_minor": draw.randrange(1, 400),
            "soft_ppm": draw.choice([0, 800_000]),
            "fee_fixed_minor": draw.randrange(3),
            "fee_ppm": draw.choice([0, 20_000]),
            "demurrage_ppm": 10_000,
            "demurrage_days": 1,
            "fund": FUND,
        }

    def drawn(self, number: int, time_ms: int) -> tuple[Member, list[pb.Message]]:
        """Something of a member's, or of the shop's for its unit, in a block of that time."""
        if self.draw.randrange(4) == 0:
            return self.shop, [self.of_authority(SHARED, time_ms)]
        return self.members[number], self.of_member(number, time_ms)

    def of_member(self, number: int, time_ms: int) -> list[pb.Message]:
        draw = self.draw
        mine, hers = self.shared[number], draw.choice(self.shared[:number] + self.shared[number + 1 :])
        third = draw.choice([account for account in self.shared if account not in (mine, hers)])
        elsewhere = self.governed[number]
        amount = draw.randrange(1, 300)
        hold, order = (identifier(f"{name} {draw.randrange(3)}") for name in ("offer", "order"))
        further = identifier(f"further {draw.randrange(8)}")
        ahead_ms = time_ms + draw.randrange(1, 6) * BLOCK_MS
        kind = draw.randrange(12)
        if kind == 0:
            self.offered[hold] = number
            return [offer_exchange(hold, (mine, amount), (elsewhere, draw.randrange(1, 300)), ahead_ms)]
        if kind in (1, 2):
            giver = self.offered.get(hold, number)
            if giver == number:
                return [void_exchange(hold)]
            paid = elsewhere, self.governed[giver], 300
            return [take_exchange(hold, paid, (self.shared[giver], mine, draw.randrange(1, 50)))]
        if kind == 3:
            needs_release = draw.randrange(3) == 0
            every = {} if needs_release else {"every_days": 1, "times": draw.randrange(1, 4)}
            message = order_transfers(
                order, mine, hers, amount, ahead_ms, needs_release=needs_release, **every
            )
            self.ordered[order] = message.order_transfers
            return [message]
        if kind == 4 and (known := self.ordered.get(order)) is not None:
            release = release_order(order, known.source, known.destination, known.amount_minor)
            return [draw.choice([cancel_order(order), release])]
        return draw.choice(
            [
                [legs((mine, hers, amount), (mine, third, draw.randrange(1, 300)))],
                [legs((mine, hers, amount), (mine, third, 1))],
                [transfer(mine, hers, amount)],
                [open_with(further, SHARED, parent=draw.choice([mine, b""])), transfer(mine, further, 5)],
                [open_bringing(account, SHARED, claim) for account, claim in self.pair()],
                [close_account(further, mine)],
                [charge_demurrage(mine, hers)],
                [pledge_account(mine, amount)],
            ]
        )

    def pair(self) -> list[tuple[bytes, int]]:
        """Two accounts that are opened together, with what they bring."""
        number = self.draw.randrange(5)
        return [(identifier(f"debt {number}"), -10), (identifier(f"credit {number}"), 10)]

    def of_authority(self, unit: bytes, time_ms: int) -> pb.Message:
        """What governs a unit; kinds that a decision carries out as well."""
        draw = self.draw
        account = draw.choice(self.shared if unit == SHARED else self.governed)
        further = sorted({identifier(f"further {draw.randrange(8)}") for _ in range(3)} | {account})
        policy = self.policy() if unit == SHARED else {"soft_ppm": draw.randrange(1, 900_000)}
        return draw.choice(
            [
                set_unit_policy(unit, **policy),
                freeze_account(account, time_ms + draw.randrange(3) * BLOCK_MS),
                freeze_account(account, 0),
                write_off(account, draw.randrange(1, 100)),
                close_account(draw.choice(further)),
                confirm_openings(unit, *[account for account, _ in self.pair()]),
                confirm_openings(unit, *[account for account, _ in self.pair()]),
                close_period(unit, time_ms - draw.randrange(3) * BLOCK_MS),
            ]
        )

    def as_action(self, time_ms: int) -> pb.DecisionAction:
        """The same for the unit that the federation governs, by decision."""
        message = self.of_authority(GOVERNED, time_ms)
        kind = message.WhichOneof("kind") or ""
        return pb.DecisionAction(**{kind: getattr(message, kind)})
