"""CheckTransactions: whether transactions may enter the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icn_chain.protocols import NEWEST_PROTOCOL, known_protocols
from icn_kit.clock import Clock
from icn_kit.errors import InvalidArgument
from icn_kit.genesis import Genesis

from icn_machine.blocks.breath import in_breaths
from icn_machine.blocks.judging import Signatures, judged
from icn_machine.blocks.ports import HistoryMissing, State
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.messages import Transaction
from icn_machine.refusals import PROTOCOL_VERSION_UNKNOWN, SEQUENCE_USED, Malformed, NotValid
from icn_machine.touched import touched_by_validity
from icn_machine.validity import POOL_DOOR, Moment, Use, ValidityView, judge

TRANSACTIONS_MAX = 1_000


class TransactionCheck(NamedTuple):
    """A verdict for the pool."""

    transaction_id: bytes
    """Empty for malformed bytes."""
    reason: str
    """Empty when it may enter."""
    message: str
    expire_time_ms: int
    executed_height: int
    """The height that executed this id, 0 when none did."""
    payer: bytes = b""
    """This and what follows is set where it may enter."""
    lane: bytes = b""
    """`Transaction.lane_name`."""
    sequence: int = 0
    lane_sequence: int = 0
    """Consumed last in the lane."""


async def check_transactions(  # noqa: PLR0917 - one part of a ledger each
    transactions: Sequence[bytes],
    genesis: Genesis,
    state: State,
    cache: TransactionCache,
    clock: Clock,
    protocol_newest: int = NEWEST_PROTOCOL,
) -> list[TransactionCheck]:
    """Judge each transaction alone on the newest executed state, at the time of the block to come.

    Block time decides what has expired, not our clock: a block that lies as far behind the clock as voters
    allow may still include what has just expired by it. Nothing of the state is read for malformed bytes, and
    the records of principal and payer, once, for those that only their signature can condemn.

    What activates a protocol version above ``protocol_newest`` does not come in here: this validator could
    not go on after it. That is its own door's rule; a block with it is as valid as any.

    Raises:
        InvalidArgument: TOO_MANY_TRANSACTIONS.
    """
    if len(transactions) > TRANSACTIONS_MAX:
        raise InvalidArgument(
            "TOO_MANY_TRANSACTIONS",
            f"{len(transactions)} transactions, at most {TRANSACTIONS_MAX} in one request",
            transactions=len(transactions),
            transactions_max=TRANSACTIONS_MAX,
        )
    read: list[Transaction | Malformed] = []
    async for data in in_breaths(transactions):
        try:
            read.append(cache.read(data))
        except Malformed as refusal:
            read.append(refusal)
    known = [one for one in read if isinstance(one, Transaction)]
    if not known:
        return [_malformed(one) for one in read if isinstance(one, Malformed)]
    newest = state.newest
    view = await state.load_validity(touched_by_validity(known), newest.height)
    # The newest block may be a heartbeat old; the next one will have about our clock's time.
    moment = Moment(newest.epoch_of_next(genesis), max(newest.time_ms + 1, clock.now_ms()))
    possible_from_ms = max(newest.time_ms + 1, moment.time_ms - genesis.block_time_distance_ms_max)

    async def judge_each(signatures: Signatures) -> list[TransactionCheck]:
        return await _judge_each(read, view, moment, possible_from_ms, signatures, protocol_newest)

    return await _with_heights(await judged(cache, judge_each), state)


async def find_refusals(
    known: Sequence[Transaction], moment: Moment, state: State, cache: TransactionCache
) -> list[NotValid | None]:
    """Why each of the transactions has no place in a pool, judged alone on the newest state; None: it has."""
    newest = state.newest
    view = await state.load_validity(touched_by_validity(known), newest.height)
    alone = Use(moment.epoch)

    async def judge_each(signatures: Signatures) -> list[NotValid | None]:
        return [_refusal(one, view, alone, moment, signatures) for one in known]

    return await judged(cache, judge_each)


async def _judge_each(  # noqa: PLR0917 - as its caller has it
    read: Sequence[Transaction | Malformed],
    view: ValidityView,
    moment: Moment,
    possible_from_ms: int,
    signatures: Signatures,
    protocol_newest: int,
) -> list[TransactionCheck]:
    checks = []
    alone = Use(moment.epoch)
    async for one in in_breaths(read):
        if isinstance(one, Malformed):
            checks.append(_malformed(one))
            continue
        then = moment
        if one.expire_time_ms < moment.time_ms:
            then = Moment(moment.epoch, max(possible_from_ms, one.expire_time_ms))
        refusal = _refusal(one, view, alone, then, signatures)
        if refusal is None and one.activates > protocol_newest:
            refusal = NotValid(
                PROTOCOL_VERSION_UNKNOWN,
                f"it activates protocol version {one.activates}; {known_protocols(protocol_newest)} first",
            )
        checks.append(_welcome(one, view) if refusal is None else _refused(one, refusal))
    return checks


def _welcome(one: Transaction, view: ValidityView) -> TransactionCheck:
    controller = view.controllers[one.principal]
    assert controller is not None, "without one it is refused"
    last = controller.last_sequence(one.lane)
    return TransactionCheck(
        one.id, "", "", one.expire_time_ms, 0, one.payer, one.lane_name, one.sequence, last
    )


def _refused(one: Transaction, refusal: NotValid) -> TransactionCheck:
    return TransactionCheck(one.id, refusal.reason, refusal.message, one.expire_time_ms, 0)


def _malformed(refusal: Malformed) -> TransactionCheck:
    return TransactionCheck(b"", refusal.reason, refusal.message, 0, 0)


def _refusal(
    transaction: Transaction, view: ValidityView, alone: Use, moment: Moment, signatures: Signatures
) -> NotValid | None:
    try:
        judge(transaction, view, alone, moment, verdict_of=signatures.verdict_of, door=POOL_DOOR)
    except NotValid as refusal:
        return refusal
    return None


async def _with_heights(checks: list[TransactionCheck], state: State) -> list[TransactionCheck]:
    """Say of a used sequence whether it was this very transaction that used it, or that nobody here knows."""
    used = [check.transaction_id for check in checks if check.reason == SEQUENCE_USED]
    if not used:
        return checks
    heights = await state.heights_of(used)
    missing = HistoryMissing("who used this sequence", state.snapshot_height + 1)
    return [
        check._replace(reason=missing.reason, message=missing.message)
        if state.snapshot_height and check.transaction_id in used and check.transaction_id not in heights
        else check._replace(executed_height=heights.get(check.transaction_id, 0))
        for check in checks
    ]
