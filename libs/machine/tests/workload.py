"""Blocks of every kind of message, drawn from a seed: the same for every ledger that plays them.

``python -m libs.machine.tests.workload SEED BLOCKS`` prints the roots, for comparing hosts and hash seeds.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator

from icn.ledger.v1 import transaction_pb2 as pb

from libs.machine.tests.credit_workload import BLOCK_MS, CreditDraws
from libs.machine.tests.institutions import (
    FEDERATION,
    admit,
    admit_member,
    allowance_action,
    apply_for_membership,
    cast_ballot,
    countersign,
    decision,
    enact,
    end_membership,
    exclude,
    floor_action,
    found,
    open_poll,
    set_rules,
    vouch_for_applicant,
)
from libs.machine.tests.zone import (
    GENESIS_TIME_MS,
    Member,
    TestKey,
    Zone,
    anchor,
    cancel_recovery,
    capture_hold,
    complete_recovery,
    create_unit,
    guarded_by,
    identifier,
    make_zone,
    memory_ledger,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    set_recovery,
    start_recovery,
    transfer,
    update_controller,
    void_hold,
)

MEMBERS = 6
UNIT = identifier("unit")
ACCOUNTS = [identifier(f"account of member {number}") for number in range(MEMBERS)]


class Workload:
    """Draws blocks; what is refused at execution is part of it."""

    def __init__(self, zone: Zone, seed: int) -> None:
        self.zone = zone
        self.random = random.Random(seed)
        self.shop = zone.organizations[0]
        self.members = [zone.member(f"member {number}", self.shop) for number in range(MEMBERS)]
        self.credit = CreditDraws(self.random, self.shop, self.members)
        self.time_ms = GENESIS_TIME_MS
        self.names = 0

    def name(self) -> bytes:
        self.names += 1
        return identifier(f"name {self.names}")

    def blocks(self, count: int) -> Iterator[list[bytes]]:
        """The first two open what the others use."""
        yield self.block(
            (self.shop, [create_unit(UNIT, floor_minor=-1_000)]),
            (
                self.shop,
                [
                    open_controller(member, recovery=guarded_by(self.shop, 5 * BLOCK_MS))
                    for member in self.members
                ],
            ),
            (
                self.shop,
                [
                    self.decided(
                        found([one.principal for one in self.zone.organizations]),
                        by=self.zone.organizations,
                    )
                ],
            ),
            self.credit.units(),
        )
        yield self.block(
            *[
                (
                    member,
                    [
                        open_account(ACCOUNTS[number], UNIT),
                        apply_for_membership(self.shop.principal),
                        *self.credit.accounts(number),
                    ],
                )
                for number, member in enumerate(self.members)
            ],
            (self.shop, [admit_member(member.principal) for member in self.members[1:]]),
        )
        for _ in range(count - 2):
            yield self.block(*[self.drawn() for _ in range(self.random.randrange(0, 12))])

    def block(self, *transactions: tuple[Member, list[pb.Message]]) -> list[bytes]:
        self.time_ms += BLOCK_MS
        return [
            self.zone.transaction(actor, *messages, time_ms=self.time_ms) for actor, messages in transactions
        ]

    def drawn(self) -> tuple[Member, list[pb.Message]]:
        draw = self.random
        kind = draw.choice(
            ["transfer"] * 6
            + ["hold"] * 3
            + ["end"] * 3
            + ["credit"] * 10
            + ["recovery"] * 2
            + ["membership"] * 5
            + ["ballot"] * 4
            + ["poll", "poll", "decision", "decision"]
            + ["floor", "anchor", "open", "zone", "key"]
        )
        number = draw.randrange(MEMBERS)
        member = self.members[number]
        other = ACCOUNTS[(number + draw.randrange(1, MEMBERS)) % MEMBERS]
        amount = draw.randrange(1, 400)
        if kind == "credit":
            return self.credit.drawn(number, self.time_ms + BLOCK_MS)
        if kind == "transfer":
            return member, [
                transfer(ACCOUNTS[number], other, amount, bytes(32)) for _ in range(draw.randrange(1, 3))
            ]
        if kind == "hold":
            hold = identifier(f"hold {draw.randrange(10)}")
            expiry = self.time_ms + draw.randrange(1, 10) * BLOCK_MS
            return member, [place_hold(hold, ACCOUNTS[number], other, amount, expiry)]
        if kind == "end":
            hold = identifier(f"hold {draw.randrange(10)}")
            return member, [draw.choice([capture_hold(hold, draw.randrange(1, 100)), void_hold(hold)])]
        if kind == "floor":
            return self.shop, [set_floor(other, -draw.randrange(0, 2_000))]
        if kind == "anchor":
            return member, [anchor(self.name() * 2, "minutes")]
        if kind == "open":
            return self.shop, [
                open_controller(self.zone.member(self.name().hex(), self.shop)),
                create_unit(self.name()),
            ]
        if kind == "zone":
            bounds = {"bytes_per_epoch": 2**40, "signatures_per_epoch": 2**40}
            organization = draw.choice(self.zone.organizations[1:]).principal
            return self.zone.authority, [
                set_allowance(organization, state_leaves=draw.randrange(100), **bounds)
            ]
        if kind in ("membership", "ballot", "poll", "decision"):
            return self.institutional(kind, member)
        keys = member.keys[0], TestKey(f"more {draw.randrange(5)}")
        if kind == "recovery":
            principal = member.principal
            return draw.choice(
                [
                    (self.shop, [start_recovery(principal, 1, *keys)]),
                    (draw.choice([self.shop, member]), [cancel_recovery(principal)]),
                    (self.shop, [complete_recovery(principal)]),
                ]
            )
        if draw.randrange(2):
            return member, [update_controller(1, *keys)]
        return member, [set_recovery(guarded_by(self.shop, 5 * BLOCK_MS) if draw.randrange(4) else None)]

    def institutional(self, kind: str, member: Member) -> tuple[Member, list[pb.Message]]:
        """Something about the shop's members, the federation's members, or their polls."""
        draw = self.random
        shop, other = self.shop.principal, draw.choice(self.members)
        organization = draw.choice([shop, shop, FEDERATION])
        if kind == "membership":
            return draw.choice(
                [
                    (member, [apply_for_membership(organization)]),
                    (member, [vouch_for_applicant(organization, other.principal)]),
                    (self.shop, [admit_member(member.principal)]),
                    (member, [end_membership(organization, member.principal)]),
                    (self.shop, [end_membership(shop, member.principal)]),
                ]
            )
        # One poll after the other, each open for some of ten blocks.
        poll = identifier(f"poll {self.time_ms // (10 * BLOCK_MS)}")
        if kind == "poll":
            electorate = draw.choice([pb.ELECTORATE_MEMBERS, pb.ELECTORATE_MEMBERS_OF_MEMBERS])
            organization = shop if electorate == pb.ELECTORATE_MEMBERS else FEDERATION
            close = self.time_ms + draw.randrange(1, 12) * BLOCK_MS
            return self.shop, [open_poll(poll, organization, close, electorate)]
        if kind == "ballot":
            through = draw.choice([b"", b"", shop])
            return member, [cast_ballot(poll, self.name() * 2, through)]
        action = draw.choice(
            [
                admit(member.principal),
                exclude(member.principal),
                set_rules(draw.randrange(5), draw.randrange(2)),
                floor_action(draw.choice(ACCOUNTS), -draw.randrange(2_000)),
                allowance_action(shop, bytes_per_epoch=2**40),
                self.credit.as_action(self.time_ms + BLOCK_MS),
                self.credit.as_action(self.time_ms + BLOCK_MS),
            ]
        )
        signers = draw.sample(self.zone.organizations, draw.randrange(2, 5))
        actions = [action] * draw.randrange(2)
        return member, [self.decided(*actions, by=signers, poll=draw.choice([b"", poll]))]

    def decided(self, *actions: pb.DecisionAction, by: list[Member], poll: bytes = b"") -> pb.Message:
        """A decision that founders countersign with the one key of their controllers."""
        body = decision(*actions, poll=poll, subject=self.name() * 2)
        return enact(body, [countersign(self.zone, body, one.principal, one.keys[0]) for one in by])


async def print_roots(seed: int, blocks: int) -> None:
    """Every root of a ledger in memory."""
    zone = make_zone()
    ledger = memory_ledger(zone)
    for transactions in Workload(zone, seed).blocks(blocks):
        block = (await ledger.execute(*transactions, after_ms=BLOCK_MS)).block
        print(block.state_root.hex(), block.receipts_root.hex(), block.log_root.hex())


if __name__ == "__main__":
    asyncio.run(print_roots(int(sys.argv[1]), int(sys.argv[2])))
