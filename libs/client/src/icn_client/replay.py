"""`icn replay`: a transaction file as signed transfers on a running platform.

Every party of the file becomes a principal with its own key and lane; all accounts are in a unit made for the
run. What is sent when is decided by `icn_client.replay_schedule`. Source: docs/replay.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, Receipt
from icn_chain.envelope import MESSAGES_MAX
from icn_chain.quorum import quorum_of
from icn_kit.errors import DomainError
from icn_machine.limits import ALLOWANCE_MAX, NO_FLOOR

from icn_client import transactions
from icn_client.acting import (
    Actor,
    TransactionRefused,
    actor_of,
    now_ms,
    read_receipt,
    refusal,
    zone_authority,
)
from icn_client.connection import Connection, ValidatorAddress
from icn_client.keystore import Identity
from icn_client.replay_file import SCALE, Row, Transfers
from icn_client.replay_schedule import Schedule
from icn_client.submitter import End, Outcome, Submitter
from icn_client.transactions import KeyPair, Signed

LACK_OF_FUNDS: Final = "CREDIT_LIMIT_EXCEEDED"
EXPIRY_MS: Final = 10 * 60 * 1000
"""Of each transaction; a row that expires is signed again."""
TRANSACTION_BYTES: Final = 512
"""An upper bound on what one transaction of a replay takes of an allowance; a transfer has about 300."""
CONTROLLERS_BYTES: Final = 2_048
"""The same for sixteen new controllers in one transaction."""
LEAVES_PER_PARTY: Final = 3
"""Controller, account, credit line."""
AGREEMENT_SECONDS: Final = 120.0
"""How long to wait for every validator to execute the last height: a restart and catching up fit several
times.
"""
STRAGGLER_SECONDS: Final = 20.0
"""How long to wait for the others once a quorum has agreed: a busy validator catches up in a few seconds, and
one that is away for good must not cost the result.
"""
AGREEMENT_POLL_SECONDS: Final = 0.1
NOTHING_FUNDS_IT: Final = "nothing could fund it"
MOVES_NOTHING: Final = "it moves nothing: its amount is zero, or it pays its own party"
PROBLEMS_SAID_MAX: Final = 20
"""Rows given up that are named one by one."""

Report = Callable[[str, int, int, str], None]
"""Told how far something has come: what, done, of how many, a note."""


class ReplayFailed(Exception):
    """The replay could not be finished; the message says which row or step, and why."""

    def __init__(self, message: str, result: Result | None = None) -> None:
        super().__init__(message)
        self.result = result
        """What came of the rows, where they were all settled; root, sum and balances may be missing."""


@dataclass(slots=True)
class Party:
    """A source or target of the file, as a principal of its own."""

    actor: Actor
    account: bytes


@dataclass(slots=True)
class Result:
    """What a replay ends with."""

    rows: int
    committed: int
    refused: int
    sum_minor: int | None
    """None where the balances could not be read."""
    root: bytes | None
    """None where no quorum of the validators agrees."""
    height: int
    seconds: float
    registration_seconds: float
    retries: int
    failovers: int
    balances: list[tuple[str, int]]
    """Party and balance in minor units, in the order in which the parties first appear."""
    problems: list[str] = field(default_factory=list)
    """Why rows were given up, at most PROBLEMS_SAID_MAX."""
    missing: list[str] = field(default_factory=list)
    """Validators that had not executed the last height when a quorum's root was taken."""

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "rows": self.rows,
            "committed": self.committed,
            "refused": self.refused,
            "sum": None if self.sum_minor is None else str(self.sum_minor),
            "root": None if self.root is None else self.root.hex(),
            "seconds": round(self.seconds, 3),
            "per_second": round(self.committed / self.seconds, 1) if self.seconds else 0.0,
            "registration_seconds": round(self.registration_seconds, 3),
            "height": self.height,
            "retries": self.retries,
            "failovers": self.failovers,
        }


async def replay(
    connection: Connection, founders: Sequence[Identity], transfers: Transfers, report: Report
) -> Result:
    """Register the parties, send every row, and check that the validators agree on what came of it.

    Raises:
        ReplayFailed: a step of the registration or a row was refused for a reason that is not funds; or, with
            the result so far, no quorum of the validators agrees, or the balances could not be read.
        NobodyAnswers: no validator answered for a minute.
        DomainError: a read of the registration was refused.
    """
    async with Submitter(connection.doors()) as submitter:
        started = time.perf_counter()
        registration = _Registration(connection, submitter, founders, transfers, report)
        parties = await registration.run()
        registration_seconds = time.perf_counter() - started
        run = _Run(submitter, parties, transfers, report)
        started = time.perf_counter()
        await run.run()
        seconds = time.perf_counter() - started
        failovers = submitter.failovers
    height = max(run.height, registration.height)
    result = Result(
        rows=len(transfers.rows),
        committed=run.schedule.committed,
        refused=len(run.schedule.given_up),
        sum_minor=None,
        root=None,
        height=height,
        seconds=seconds,
        registration_seconds=registration_seconds,
        retries=run.schedule.retries,
        failovers=failovers,
        balances=[],
        problems=run.problems,
    )
    try:
        result.root, result.missing = await quorum_root(connection, height)
        balances = await _balances(connection, registration.unit, parties)
    except (ReplayFailed, DomainError) as error:
        raise ReplayFailed(str(error), result) from error
    result.sum_minor = sum(balances)
    result.balances = list(zip(transfers.parties, balances, strict=True))
    return result


async def agreed_root(connection: Connection, height: int) -> bytes:
    """The state root after a height, once every validator has executed it.

    Raises:
        ReplayFailed: two roots differ, or a validator has not come so far in AGREEMENT_SECONDS.
    """
    root, missing = await _common_root(connection, height, len(connection.network.validators))
    assert not missing, "every validator was waited for"
    return root


async def quorum_root(connection: Connection, height: int) -> tuple[bytes, list[str]]:
    """The state root after a height by a quorum of the validators, and the names of those that had not come
    so far STRAGGLER_SECONDS after it; reads go to one of the quorum from then on.

    Raises:
        ReplayFailed: two roots differ, or there is no quorum in AGREEMENT_SECONDS.
    """
    return await _common_root(connection, height, quorum_of(len(connection.network.validators)))


async def _common_root(connection: Connection, height: int, wanted: int) -> tuple[bytes, list[str]]:
    validators = connection.network.validators
    deadline = time.monotonic() + AGREEMENT_SECONDS
    has_enough = False
    found: dict[int, bytes] = {}
    while True:
        left = [address for address in validators if address.seat not in found]
        roots = await asyncio.gather(*(_root_at(connection, address, height) for address in left))
        for address, root in zip(left, roots, strict=True):
            if root is not None:
                found[address.seat] = root
        if len(set(found.values())) > 1:
            told = ", ".join(f"seat {seat} {root.hex()}" for seat, root in sorted(found.items()))
            raise ReplayFailed(f"the validators disagree on the state after height {height}: {told}")
        if len(found) >= wanted and not has_enough:
            has_enough = True
            deadline = time.monotonic() + STRAGGLER_SECONDS
        if len(found) == len(validators) or time.monotonic() > deadline:
            break
        await asyncio.sleep(AGREEMENT_POLL_SECONDS)
    missing = [address.name for address in validators if address.seat not in found]
    if not has_enough:
        raise ReplayFailed(
            f"{len(found)} of {len(validators)} validators have executed height {height}, "
            f"{wanted} are needed; missing: {', '.join(missing)}"
        )
    connection.prefer(next(address for address in validators if address.seat in found))
    return next(iter(found.values())), missing


async def _root_at(connection: Connection, address: ValidatorAddress, height: int) -> bytes | None:
    try:
        block = await connection.block_at(address, height)
    except DomainError:
        return None  # it is away; asked again until the deadline
    return None if block is None else block.state_root


async def _balances(connection: Connection, unit: bytes, parties: Sequence[Party]) -> list[int]:
    """Every party's balance as the ledger has it."""
    positions = {party.account: position for position, party in enumerate(parties)}
    balances: dict[int, int] = {}
    async for account in connection.accounts():
        if account.leaf.unit == unit:
            balances[positions[account.leaf.account]] = account.leaf.balance_minor
    if len(balances) != len(parties):
        raise ReplayFailed(f"the ledger lists {len(balances)} accounts of the run, not {len(parties)}")
    return [balances[position] for position in range(len(parties))]


class _Registration:
    """Makes unit, principals and accounts; every transaction is checked to have had its effect."""

    def __init__(
        self,
        connection: Connection,
        submitter: Submitter,
        founders: Sequence[Identity],
        transfers: Transfers,
        report: Report,
    ) -> None:
        self._connection = connection
        self._submitter = submitter
        self._founders = founders
        self._transfers = transfers
        self._report = report
        self.unit = transactions.new_identifier()
        self.height = 0

    async def run(self) -> list[Party]:
        count = len(self._transfers.parties)
        sponsor = await actor_of(self._connection, self._founders[0])
        await self._raise_allowance(sponsor.principal)
        await self._apply(
            "unit", [(sponsor, [transactions.create_unit(self.unit, self._transfers.code, SCALE, 0)])]
        )
        parties = [self._new_party(sponsor) for _ in range(count)]
        controllers = [
            transactions.open_controller(
                party.actor.principal, 1, [transactions.controller_key(party.actor.keys[0].public_keys)]
            )
            for party in parties
        ]
        await self._apply("principals", [(sponsor, group) for group in _groups(controllers)])
        await self._apply(
            "accounts",
            [(party.actor, [transactions.open_account(party.account, self.unit)]) for party in parties],
        )
        floors = [
            transactions.set_floor(parties[issuer].account, NO_FLOOR)
            for issuer in sorted(self._transfers.issuers)
        ]
        await self._apply("issuers", [(sponsor, group) for group in _groups(floors)])
        return parties

    def _new_party(self, sponsor: Actor) -> Party:
        actor = Actor(
            genesis_hash=self._connection.genesis.hash,
            principal=transactions.new_identifier(),
            payer=sponsor.principal,
            keys=(KeyPair.generate(),),
        )
        return Party(actor, transactions.new_identifier())

    async def _raise_allowance(self, organization: bytes) -> None:
        """Make room for the run in the sponsor's allowance; only the zone's authority can."""
        parties, rows = len(self._transfers.parties), len(self._transfers.rows)
        current = await self._connection.allowance(organization)
        # Every row may be sent twice, once refused for funds; and each party opens an account.
        signatures = 2 * rows + 2 * parties + 64
        leaves = LEAVES_PER_PARTY * parties + 64
        authority = await zone_authority(self._connection, self._founders)
        message = transactions.set_allowance(
            organization,
            bytes_per_epoch=_raised(
                current.limits.bytes_per_epoch,
                signatures * TRANSACTION_BYTES + (parties // MESSAGES_MAX + 1) * CONTROLLERS_BYTES,
            ),
            signatures_per_epoch=_raised(current.limits.signatures_per_epoch, signatures),
            state_leaves=_raised(current.limits.state_leaves, leaves),
            fuel_per_epoch=current.limits.fuel_per_epoch,
            # 0 stays: as many as the state leaves, which were raised.
            new_leaves_per_epoch=current.limits.new_leaves_per_epoch
            and _raised(current.limits.new_leaves_per_epoch, leaves),
        )
        await self._apply("allowance", [(authority, [message])])

    async def _apply(self, what: str, work: Sequence[tuple[Actor, Sequence[Any]]]) -> None:
        """Have every piece of work done, in any order, as many under way as the window allows."""
        left, settled = 0, 0
        while settled < len(work):
            while left < len(work) and self._submitter.room > 0:
                actor, messages = work[left]
                expire_time_ms = now_ms() + EXPIRY_MS
                self._submitter.put(actor.sign(messages, expire_time_ms), expire_time_ms)
                left += 1
            for outcome in await self._submitter.take():
                try:
                    read_receipt(outcome)
                except TransactionRefused as error:
                    raise ReplayFailed(f"registration of {what}: {error}") from error
                self.height = max(self.height, outcome.height)
                settled += 1
            self._report(f"registering {what}", settled, len(work), "")


class _Run:
    """Sends the rows and hears what becomes of them."""

    def __init__(
        self, submitter: Submitter, parties: Sequence[Party], transfers: Transfers, report: Report
    ) -> None:
        self._submitter = submitter
        self._parties = parties
        self._report = report
        self._total = len(transfers.rows)
        self._under_way: dict[bytes, tuple[Row, int]] = {}
        self.schedule = Schedule(transfers.rows, len(parties), transfers.issuers)
        self.height = 0
        self.problems: list[str] = []

    async def run(self) -> None:
        async for outcome in self._outcomes():
            row, sequence = self._under_way.pop(outcome.signed.transaction_id)
            if outcome.end is End.EXPIRED:
                self._send(row, sequence)  # never included, so its sequence is still the lane's next
            elif outcome.end is End.REFUSED:
                raise ReplayFailed(f"line {row.line}: {outcome.reason}: {outcome.message}")
            else:
                self.height = max(self.height, outcome.height)
                self._hear(row, Receipt.FromString(outcome.receipt))

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        while True:
            given_up = len(self.schedule.given_up)
            while self._submitter.room > 0 and (row := self.schedule.next_row()) is not None:
                actor = self._parties[row.source].actor
                sequence = actor.next_sequence
                actor.next_sequence += 1
                self._send(row, sequence)
            for row in self.schedule.given_up[given_up:]:
                self._note_given_up(row, MOVES_NOTHING if row.moves_nothing else NOTHING_FUNDS_IT)
            if not self._under_way:
                assert self.schedule.is_done, "with nothing under way every row is settled"
                return
            for outcome in await self._submitter.take():
                yield outcome
            self._report(
                "replaying",
                self.schedule.settled,
                self._total,
                f"{self.schedule.held} waiting for funds" if self.schedule.held else "",
            )

    def _send(self, row: Row, sequence: int) -> None:
        expire_time_ms = now_ms() + EXPIRY_MS
        signed = self._sign(row, sequence, expire_time_ms)
        self._under_way[signed.transaction_id] = (row, sequence)
        self._submitter.put(signed, expire_time_ms)

    def _sign(self, row: Row, sequence: int, expire_time_ms: int) -> Signed:
        source = self._parties[row.source]
        message = transactions.transfer(source.account, self._parties[row.target].account, row.amount_minor)
        return source.actor.sign_as([message], expire_time_ms, sequence)

    def _hear(self, row: Row, receipt: Receipt) -> None:
        if receipt.status == RECEIPT_STATUS_APPLIED:
            self.schedule.committed_row(row)
        elif receipt.reason == LACK_OF_FUNDS:
            self.schedule.refused_row(row)
        else:
            self.schedule.impossible_row(row)
            self._note_given_up(row, str(refusal(receipt)))

    def _note_given_up(self, row: Row, why: str) -> None:
        if len(self.problems) < PROBLEMS_SAID_MAX:
            self.problems.append(f"line {row.line}: {why}")


def _groups(messages: Sequence[Any]) -> list[Sequence[Any]]:
    return [messages[start : start + MESSAGES_MAX] for start in range(0, len(messages), MESSAGES_MAX)]


def _raised(limit: int, needed: int) -> int:
    return min(limit + needed, ALLOWANCE_MAX)
