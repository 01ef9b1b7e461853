"""The plain queries of LedgerService, named like the RPCs. They read what is executed and committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from icn.ledger.v1 import service_pb2, state_pb2
from icn_chain.validator_set import ValidatorSet
from icn_kit.errors import NotFound
from icn_machine.blocks.ports import ExecutedBlock, HistoryMissing, StateBehind
from icn_machine.credit import limit_under, spendable_under
from icn_machine.credit_messages import UnitPolicy
from icn_machine.records import Account, CreditLine, Namespace, PolicyInForce, Validators

_UNKNOWN: dict[Namespace, str] = {
    Namespace.CONTROLLER: "CONTROLLER_UNKNOWN",
    Namespace.UNIT: "UNIT_UNKNOWN",
    Namespace.ACCOUNT: "ACCOUNT_UNKNOWN",
    Namespace.HOLD: "HOLD_UNKNOWN",
    Namespace.ORDER: "ORDER_UNKNOWN",
    Namespace.ALLOWANCE: "ALLOWANCE_UNKNOWN",
    Namespace.RECOVERY: "RECOVERY_UNKNOWN",
    Namespace.AUTHORITY: "AUTHORITY_UNKNOWN",
    Namespace.MEMBERSHIP: "MEMBERSHIP_UNKNOWN",
    Namespace.DECISION: "DECISION_UNKNOWN",
    Namespace.CONTRACT: "CONTRACT_UNKNOWN",
}


class LeafAt(NamedTuple):
    """A leaf and the height it was read at."""

    value: bytes
    """Canonical bytes."""
    height: int


class PollAt(NamedTuple):
    """A poll, and the moment it was read at: whether it is open follows from both."""

    value: bytes
    """Canonical bytes."""
    height: int
    block_time_ms: int
    """Of that height."""


class TransactionRow(NamedTuple):
    """Where a transaction is and what became of it."""

    height: int
    position: int
    receipt: bytes
    """Canonical bytes."""
    block_time_ms: int


class BlockRow(NamedTuple):
    """A block with the ids of its transactions."""

    block: ExecutedBlock
    transaction_ids: Sequence[bytes]


class EventsEnd(NamedTuple):
    """The newest event of the blocks up to the one executed last."""

    executed_height: int
    event_id: bytes
    """Empty while there is none."""
    event_height: int
    """0 while there is none."""


class CreditAt(NamedTuple):
    """An account with what its owner's credit follows from."""

    account: Account
    height: int
    """The answer was read at."""
    block_time_ms: int
    """Of that height."""
    in_force: PolicyInForce | None
    """Policy of its unit."""
    line: CreditLine | None
    """Of its owner in the unit; None for a contract."""

    @property
    def policy(self) -> UnitPolicy:
        """Of its unit; the one that changes nothing where it has none."""
        return UnitPolicy() if self.in_force is None else self.in_force.policy

    @property
    def limit_minor(self) -> int:
        """Lowest balance − held that a voluntary debit may leave."""
        return limit_under(self.policy, self.account, self.line)

    @property
    def spendable_minor(self) -> int:
        """What a voluntary debit may take in a block of this time."""
        return spendable_under(self.account, self.limit_minor, self.block_time_ms)


class UnitAt(NamedTuple):
    """A unit with what hangs on it, canonical bytes; None for what there is not."""

    unit: bytes
    policy: bytes | None
    period: bytes | None


class BalanceRow(NamedTuple):
    """What the history has around an account's balance at a past height."""

    leaf: bytes | None
    """Canonical bytes in the newest state, None when there is no such account."""
    height: int
    """That was asked for, or of the newest block at or before the time that was."""
    before: service_pb2.Entry | None
    """The newest entry at or below the height."""
    after: service_pb2.Entry | None
    """The oldest above it."""
    executed_height: int
    executed_time_ms: int
    snapshot_height: int


class PastBalance(NamedTuple):
    """What an account had after a height."""

    balance_minor: int
    entries: int
    """How many its chain had, those older than what is here among them."""
    row: BalanceRow
    """Where both were found."""


class ValidatorsAt(NamedTuple):
    """Who validates, and who will."""

    validators: Validators
    in_force: ValidatorSet
    following: ValidatorSet
    """What the newest state names for a later epoch."""
    height: int
    epoch: int
    """Of the block at that height."""


Place = tuple[int, int]
"""Height and index within it."""


class Reader(Protocol):
    """Where the queries are answered."""

    async def snapshot_height(self) -> int:
        """Of the snapshot this ledger began with, 0 for none. Of blocks up to it only the state is here."""

    async def leaf(self, namespace: Namespace, identifier: bytes) -> LeafAt | None:
        """The newest version of a leaf, None when absent."""

    async def credit(self, account: bytes) -> CreditAt | None:
        """An account with what its owner's credit follows from, all of one height; None when absent."""

    async def unit(self, identifier: bytes) -> UnitAt | None:
        """A unit, its policy and its newest closed period, all of one height; None when absent."""

    async def orders(self, account: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Orders above an id that debit or credit the account, ascending."""

    async def holds(self, account: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Holds above an id of an account, or (``account`` empty) offers of exchange, ascending."""

    async def limit_changes(
        self, namespace: Namespace, identifier: bytes, before: Place | None, count: int
    ) -> Sequence[service_pb2.LimitChange]:
        """Changes of the limits of an account, or of a unit, below a place, descending."""

    async def accounts(self, owner: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Accounts above an id, ascending; all or (``owner`` not empty) of one owner."""

    async def sub_accounts(self, parent: bytes, after: int, count: int) -> Sequence[tuple[int, LeafAt]]:
        """Sub-accounts with a number above one, ascending, each with its number."""

    async def units(self, after: bytes, count: int) -> Sequence[LeafAt]:
        """Units above an id, ascending."""

    async def prefixed(
        self, namespace: Namespace, prefix: bytes, after: bytes, count: int
    ) -> Sequence[LeafAt]:
        """Leaves whose identifier is the prefix and another id above ``after``, ascending."""

    async def memberships_of(self, member: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Memberships of a member in organizations above an id, ascending by organization."""

    async def duties(
        self, organization: bytes, before: tuple[int, bytes] | None, count: int
    ) -> Sequence[LeafAt]:
        """Duty evidence behind a place (epoch, organization), newest epoch first, then by organization; all
        or (``organization`` not empty) of one organization."""

    async def poll(self, identifier: bytes) -> PollAt | None:
        """A poll by id."""

    async def validators(self) -> ValidatorsAt:
        """Who validates in the newest state."""

    async def entries(self, account: bytes, before: Place | None, count: int) -> Sequence[service_pb2.Entry]:
        """Entries below a place, descending; all or (``account`` not empty) of one account."""

    async def balance(self, account: bytes, height: int | None, time_ms: int) -> BalanceRow:
        """Around a height, or (None) around the newest block at or before a time."""

    async def transaction(self, transaction_id: bytes) -> TransactionRow | None:
        """A transaction by id."""

    async def events_end(self) -> EventsEnd:
        """The newest event of the outbox and the height that it was looked up at."""

    async def block(self, height: int) -> BlockRow | None:
        """A block by height."""

    async def blocks(self, before: int | None, count: int) -> Sequence[BlockRow]:
        """Blocks below a height, descending; one at least where there are any, fewer when they are full."""


async def get_leaf(namespace: Namespace, identifier: bytes, reader: Reader) -> LeafAt:
    """GetController, GetHold, GetAllowance, GetRecovery, GetAuthority, GetMembership,
    GetDecision.

    Raises:
        NotFound: ACCOUNT_UNKNOWN and so on.
    """
    leaf = await reader.leaf(namespace, identifier)
    if leaf is None:
        raise _unknown(namespace, identifier)
    return leaf


def _unknown(namespace: Namespace, identifier: bytes) -> NotFound:
    return NotFound(_UNKNOWN[namespace], f"there is no {namespace.name.lower()} {identifier.hex()}")


async def get_credit(account: bytes, reader: Reader) -> CreditAt:
    """GetAccount.

    Raises:
        NotFound: ACCOUNT_UNKNOWN.
    """
    found = await reader.credit(account)
    if found is None:
        raise _unknown(Namespace.ACCOUNT, account)
    return found


async def get_unit(identifier: bytes, reader: Reader) -> UnitAt:
    """GetUnit.

    Raises:
        NotFound: UNIT_UNKNOWN.
    """
    found = await reader.unit(identifier)
    if found is None:
        raise _unknown(Namespace.UNIT, identifier)
    return found


async def list_limit_changes(
    namespace: Namespace, identifier: bytes, before: Place | None, count: int, reader: Reader
) -> tuple[Sequence[service_pb2.LimitChange], bool]:
    """ListLimitChanges: a page, and whether there may be changes below it.

    Raises:
        NotFound: ACCOUNT_UNKNOWN, UNIT_UNKNOWN.
        HistoryMissing: all below are older than what this ledger has.
    """
    rows = await reader.limit_changes(namespace, identifier, before, count + 1)
    if len(rows) > count:
        return rows[:count], True
    if rows:
        return rows, await reader.snapshot_height() > 0
    await get_leaf(namespace, identifier, reader)  # nothing yet, or no such account or unit
    await check_history("older changes of limits", 1, reader)
    return rows, False


async def list_sub_accounts(
    parent: bytes, after: int, count: int, reader: Reader
) -> Sequence[tuple[int, LeafAt]]:
    """ListAccounts of a parent: at most ``count`` behind a number, with theirs, in the order of opening.

    Raises:
        NotFound: ACCOUNT_UNKNOWN.
    """
    await get_leaf(Namespace.ACCOUNT, parent, reader)
    return await reader.sub_accounts(parent, after, count)


async def get_balance(account: bytes, height: int | None, time_ms: int, reader: Reader) -> PastBalance:
    """GetBalance.

    Raises:
        NotFound: ACCOUNT_UNKNOWN.
        StateBehind: the height is not executed here.
        HistoryMissing: it is below the snapshot that this ledger began with.
    """
    row = await reader.balance(account, height, time_ms)
    if row.height > row.executed_height:
        raise StateBehind(row.height, row.executed_height)
    if row.leaf is None:
        raise _unknown(Namespace.ACCOUNT, account)
    if row.before is not None:
        return PastBalance(row.before.posting.balance_minor, row.before.number, row)
    if not row.snapshot_height:
        return PastBalance(0, 0, row)
    if row.height < row.snapshot_height:
        raise HistoryMissing(f"the balance after height {row.height}", row.snapshot_height + 1)
    if row.after is not None:
        # What is from before entries were numbered has 0.
        posting, earlier = row.after.posting, max(row.after.number - 1, 0)
        return PastBalance(posting.balance_minor - posting.amount_minor, earlier, row)
    leaf = state_pb2.AccountLeaf.FromString(row.leaf)
    return PastBalance(leaf.balance_minor, leaf.entries, row)


async def get_poll(identifier: bytes, reader: Reader) -> PollAt:
    """GetPoll.

    Raises:
        NotFound: POLL_UNKNOWN.
    """
    poll = await reader.poll(identifier)
    if poll is None:
        raise NotFound("POLL_UNKNOWN", f"there is no poll {identifier.hex()}")
    return poll


async def get_transaction(transaction_id: bytes, reader: Reader) -> TransactionRow:
    """GetTransaction.

    Raises:
        NotFound: TRANSACTION_UNKNOWN: no block executed here includes it.
        HistoryMissing: no block executed here does, one before may.
    """
    row = await reader.transaction(transaction_id)
    if row is None:
        await check_history(f"transaction {transaction_id.hex()}", 1, reader)
        raise NotFound("TRANSACTION_UNKNOWN", f"no block executed here includes {transaction_id.hex()}")
    return row


async def get_block(height: int, reader: Reader) -> BlockRow:
    """GetBlock.

    Raises:
        NotFound: BLOCK_UNKNOWN: the height is not executed here.
        HistoryMissing: it is not above the snapshot that this ledger began with.
    """
    if height:
        await check_history(f"block {height}", height, reader)
    row = await reader.block(height)
    if row is None:
        raise NotFound("BLOCK_UNKNOWN", f"height {height} is not executed here", height=height)
    return row


async def list_blocks(before: int | None, count: int, reader: Reader) -> tuple[Sequence[BlockRow], bool]:
    """ListBlocks: a page, and whether there are blocks below it.

    Raises:
        HistoryMissing: all below are older than what this ledger has.
    """
    rows = await reader.blocks(before, count)
    if not rows:
        await check_history("older blocks", 1, reader)
    return rows, bool(rows) and rows[-1].block.height > 0


async def list_entries(
    account: bytes, before: Place | None, count: int, reader: Reader, height: int = 0
) -> tuple[Sequence[service_pb2.Entry], bool]:
    """ListEntries: a page, and whether there may be entries below it; of one block where ``height`` is not 0.

    Raises:
        NotFound: ACCOUNT_UNKNOWN.
        HistoryMissing: all below are older than what this ledger has.
    """
    rows = await reader.entries(account, before, count + 1)
    if height:
        await check_history(f"entries of height {height}", height, reader)
        of_block = [row for row in rows if row.height == height]
        if not of_block and account:
            await get_leaf(Namespace.ACCOUNT, account, reader)  # nothing then, or no such account
        return of_block[:count], len(of_block) > count
    if len(rows) > count:
        return rows[:count], True
    if rows:
        return rows, await reader.snapshot_height() > 0
    if account:
        await get_leaf(Namespace.ACCOUNT, account, reader)  # nothing yet, or no such account
    await check_history("older entries", 1, reader)
    return rows, False


async def get_events_end(reader: Reader) -> EventsEnd:
    """GetEventsEnd.

    Raises:
        HistoryMissing: the newest event is older than what this ledger has.
    """
    end = await reader.events_end()
    if not end.event_id:
        await check_history("the newest event", 1, reader)
    return end


async def check_history(what: str, height: int, reader: Reader) -> None:
    """Raise HistoryMissing where ``what``, at this height or above, may be older than all that is here."""
    snapshot_height = await reader.snapshot_height()
    if height <= snapshot_height:
        raise HistoryMissing(what, snapshot_height + 1)
