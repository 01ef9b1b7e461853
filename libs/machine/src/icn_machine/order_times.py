"""When the transfers of an order are due. Source: docs/spec/ledger.md, "What falls due"."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final

from icn_machine.credit_messages import OrderTransfers
from icn_machine.limits import DAY_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_YEAR_MAX: Final = 9999
TIME_MS_MAX: Final = (datetime(_YEAR_MAX, 12, 31, tzinfo=UTC) - _EPOCH) // _MILLISECOND + DAY_MS - 1
"""The last millisecond of the year 9999, where calendars of programs end."""


def time_of(ordered: OrderTransfers, number: int) -> int | None:
    """When the transfer of a number, from 0, is due, unix milliseconds; None past the year 9999.

    In months: the same day and time of day, UTC, or the month's last day where it has no such day.
    """
    if not ordered.every_months:
        time_ms = ordered.first_time_ms + number * ordered.every_days * DAY_MS
        return time_ms if time_ms <= TIME_MS_MAX else None
    if ordered.first_time_ms > TIME_MS_MAX:
        return None
    first = _EPOCH + ordered.first_time_ms * _MILLISECOND
    years, month = divmod(first.month - 1 + number * ordered.every_months, 12)
    year = first.year + years
    if year > _YEAR_MAX:
        return None
    day = min(first.day, monthrange(year, month + 1)[1])
    return (first.replace(year=year, month=month + 1, day=day) - _EPOCH) // _MILLISECOND
