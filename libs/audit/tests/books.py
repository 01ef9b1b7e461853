"""The books of a unit that an authority of members governs, and closes."""

from __future__ import annotations

from collections.abc import Mapping

from icn.ledger.v1 import transaction_pb2 as pb
from icn_audit.periods import PeriodFindings
from icn_chain.trial_balance import trial_balance_digest
from icn_machine.records import Period

from libs.audit.tests.chain import Chain, verify
from libs.machine.tests.credit_messages import close_period
from libs.machine.tests.institutions import FEDERATION, countersign, decision, enact, found
from libs.machine.tests.zone import Member, Zone, identifier, open_account, open_controller, transfer

UNIT = identifier("unit of the federation")
ANA, BEN, IDLE = identifier("account of ana"), identifier("account of ben"), identifier("idle account")
STEP_MS = 1_000


class Books:
    """A unit of the federation's, and two members who trade in it."""

    def __init__(self, zone: Zone) -> None:
        self.zone, self.chain = zone, Chain(zone)
        self.shop = zone.organizations[0]
        self.ana, self.ben = (zone.member(name, self.shop) for name in ("ana", "ben"))
        self.decisions = 0

    @property
    def time_ms(self) -> int:
        """Of the newest block."""
        return self.chain.ledger.state.newest.time_ms

    @property
    def height(self) -> int:
        return self.chain.ledger.state.newest.height

    @property
    def closed(self) -> dict[bytes, Period | None]:
        return self.chain.ledger.state.records[-1].periods  # type: ignore[attr-defined, no-any-return]

    async def add(self, actor: Member, *messages: pb.Message) -> None:
        transaction = self.zone.transaction(actor, *messages, time_ms=self.time_ms + STEP_MS)
        await self.chain.add(transaction, after_ms=STEP_MS)

    async def begin(self) -> Books:
        founders = [one.principal for one in self.zone.organizations]
        await self.add(self.shop, open_controller(self.ana), open_controller(self.ben))
        await self.decide(found(founders))
        unit = pb.CreateUnit(unit=UNIT, code="HOUR", scale=2, authority=FEDERATION, default_floor_minor=-100)
        await self.add(self.shop, pb.Message(create_unit=unit))
        await self.add(self.ana, open_account(ANA, UNIT), open_account(IDLE, UNIT))
        await self.add(self.ben, open_account(BEN, UNIT))
        return self

    async def pay(self, amount_minor: int) -> None:
        """Ana pays Ben."""
        await self.add(self.ana, transfer(ANA, BEN, amount_minor))

    async def decide(self, action: pb.DecisionAction) -> None:
        self.decisions += 1
        body = decision(action, subject=self.decisions.to_bytes(32, "big"))
        founders = self.zone.organizations
        signed = [countersign(self.zone, body, one.principal, one.keys[0]) for one in founders]
        await self.add(self.shop, enact(body, signed))

    async def close(self, end_ms: int, digest: bytes) -> None:
        """The federation closes its unit's books by a decision."""
        closing = close_period(UNIT, end_ms, digest).close_period
        await self.decide(pb.DecisionAction(close_period=closing))
        kept = self.closed[UNIT]
        assert kept is not None
        assert (kept.end_time_ms, kept.digest, kept.height) == (end_ms, digest, self.height)

    def digest(self, balances: Mapping[bytes, int]) -> bytes:
        return trial_balance_digest(self.zone.genesis.hash, balances)

    async def findings(self) -> PeriodFindings:
        return (await verify(self.chain.archive(), self.zone)).periods
