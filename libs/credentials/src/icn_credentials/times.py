"""Times as DIDs and credentials write them: RFC 3339 with a zone, as milliseconds since 1970."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from icn_credentials.faults import CredentialFault

_FORM: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read(text: object, name: str, fault: type[CredentialFault], *, must_be_utc: bool = False) -> int:
    """Milliseconds since 1970 of a date and time with a zone; a finer fraction is cut off.

    Raises:
        CredentialFault: of the kind asked for.
    """
    matched = _FORM.fullmatch(text) if isinstance(text, str) and text.isascii() and len(text) <= 40 else None
    if matched is None:
        raise fault(f"{name}: a time such as 2026-01-31T12:00:00Z is expected")
    years, months, days, hours, minutes, seconds = (int(part) for part in matched.group(1, 2, 3, 4, 5, 6))
    offset = timedelta(0)
    if matched.group(8) is None:
        offset = timedelta(hours=int(matched.group(10)), minutes=int(matched.group(11)))
        if int(matched.group(10)) > 23 or int(matched.group(11)) > 59:
            raise fault(f"{name}: {matched.group(0)} has no such zone")
        if matched.group(9) == "-":
            offset = -offset
    if must_be_utc and offset:
        raise fault(f"{name}: {matched.group(0)} is not in UTC")
    try:
        moment = datetime(years, months, days, hours, minutes, seconds, tzinfo=UTC)
    except ValueError:
        raise fault(f"{name}: {matched.group(0)} is no date and time") from None
    fraction_ms = int((matched.group(7) or ".0")[1:4].ljust(3, "0"))
    return (moment - _EPOCH - offset) // timedelta(milliseconds=1) + fraction_ms


def write(time_ms: int) -> str:
    """The time in UTC to the second."""
    return (_EPOCH + timedelta(seconds=time_ms // 1_000)).strftime("%Y-%m-%dT%H:%M:%SZ")
