"""The trial balance of a unit at the end of a period, from what a ledger shows.

Source: docs/spec/ledger.md, "Closing a period".
"""

from __future__ import annotations

from icn_kit.errors import FailedPrecondition, Unavailable

from icn_client.connection import Connection


async def trial_balance(connection: Connection, unit: bytes, end_time_ms: int) -> dict[bytes, int]:
    """Balances, minor units, of the unit's accounts that had entries before ``end_time_ms``.

    It reads every account, and of those with entries the balance at that time.

    Raises:
        DomainError: PERIOD_NOT_OVER where no validator has executed a block of that time or later;
            LEDGER_BEHIND where the one that answers has not, ask again; HISTORY_MISSING where it began with a
            later snapshot, or does not say how many entries an account had; BALANCES_UNBALANCED where what it
            says of the accounts does not add up to 0.
    """
    over_height = await _height_past(connection, end_time_ms)
    balances = {}
    async for account in connection.accounts():
        leaf = account.leaf
        if account.height < over_height:
            raise Unavailable(
                "LEDGER_BEHIND", f"the ledger answers as of height {account.height}, {over_height} is wanted"
            )
        if leaf.unit != unit or not leaf.entries:
            continue
        found = await connection.balance(leaf.account, time_ms=max(end_time_ms - 1, 0))
        if not found.HasField("entry") and not found.HasField("entries"):
            raise FailedPrecondition(
                "HISTORY_MISSING",
                f"who answers shows no entry of accounts/{leaf.account.hex()} before {end_time_ms}, "
                "and does not say whether it had any: ask a validator of this release",
            )
        if found.HasField("entry") or found.entries:
            balances[leaf.account] = found.balance_minor
    if (sum_minor := sum(balances.values())) != 0:
        raise FailedPrecondition(
            "BALANCES_UNBALANCED",
            f"the {len(balances)} balances told add up to {sum_minor}, and those of a unit to 0: "
            "ask another validator",
            sum_minor=sum_minor,
        )
    return balances


async def _height_past(connection: Connection, end_time_ms: int) -> int:
    """Height of a block of that time or later that a validator has executed, which is asked first from
    now on."""
    newest_ms = 0
    for address, status in zip(connection.network.validators, await connection.statuses(), strict=True):
        if status is None:
            continue
        newest_ms = max(newest_ms, status.block_time_ms)
        if status.block_time_ms >= end_time_ms:
            connection.prefer(address)
            return status.executed_height
    raise FailedPrecondition(
        "PERIOD_NOT_OVER",
        f"the period ends at {end_time_ms}, the newest block is of {newest_ms}",
        end_time_ms=end_time_ms,
        block_time_ms=newest_ms,
    )
