"""Bounds of the marketplace. Source: docs/spec/marketplace.md, "Limits"."""

from __future__ import annotations

from typing import Final

IDENTIFIER_BYTES: Final = 16
DIGEST_BYTES: Final = 32
HEIGHT_MAX: Final = 2**62

TITLE_CHARACTERS_MAX: Final = 120
NOTE_CHARACTERS_MAX: Final = 2_000
MEASURE_CHARACTERS_MAX: Final = 16

PHOTO_BYTES_MAX: Final = 1_000_000
PHOTOS_MAX: Final = 8

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1_440
DAY_MS: Final = DAY_MINUTES * MINUTE_MS
BOOKING_MINUTES_MAX: Final = 30 * DAY_MINUTES
AHEAD_DAYS_MAX: Final = 366
UTC_OFFSET_MINUTES_MIN: Final = -720
UTC_OFFSET_MINUTES_MAX: Final = 840
"""The zones in use lie between; Kiribati is fourteen hours ahead."""
BOOKINGS_OF_ONE_MAX: Final = 20
WAITING_MAX: Final = 100
BUSY_SPANS_MAX: Final = 5_000
"""Spans looked at for one free slot; a resource with more bookings ahead has none as far as one can see."""

RESOURCES_OF_ONE_MAX: Final = 200
"""Of one owner, removed ones not counted."""
RESOURCES_ADDED_MAX: Final = 50
"""Of one owner, added by one that is not the owner: no member uses up what the others may add."""
OFFERS_OF_ONE_MAX: Final = 200
"""Of one provider, neither closed nor expired."""

QUANTITY_MAX: Final = 10**9
AMOUNT_MINOR_MAX: Final = 2**62
FULFIL_MS_MIN: Final = 1_000
"""Shorter, and no hold could be placed in time."""
FULFIL_MS_MAX: Final = 365 * DAY_MS
AGREEMENT_MS_MAX: Final = FULFIL_MS_MAX + 10 * 60_000
"""The longest an agreement may last, from its command's issue: within the ledger's 366 days for holds even
when the hold is placed at the last moment at which the command is taken."""
OPEN_AGREEMENTS_MAX: Final = 50
HOLD_DUE_MS: Final = 10 * 60_000
"""Block time from an agreement to the hold that pays for it: as long as a signed command counts."""
LAPSED_AGREEMENTS_MAX: Final = 10
"""Of one receiver with one offer: each takes the quantity away for at most HOLD_DUE_MS."""

ABSENCE_MARGIN_MS: Final = 5_000
"""Block time past the expiry before an absence is believed: relays hand events on within a second."""
WEIGHT_MAX: Final = 2**32 - 1
TIME_MS_MAX: Final = 253_402_300_799_000
"""The end of the year 9999, the last that calendars agree on."""
