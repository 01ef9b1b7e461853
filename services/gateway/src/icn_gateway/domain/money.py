"""Amounts as people read them; exact, without a float anywhere."""

from __future__ import annotations

NO_FLOOR_MINOR = -(2**62)
"""The floor that means "none" (docs/spec/transaction.md, "Bytes")."""

MINUS = "−"
GROUP_SEPARATOR = " "
"""Narrow no-break space: no language takes it for a decimal sign."""


def format_amount(amount_minor: int, scale: int) -> str:
    """``amount_minor`` in whole units with ``scale`` decimal places, thousands grouped: ``−1 234.50``."""
    digits = str(abs(amount_minor)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    sign = MINUS if amount_minor < 0 else ""
    grouped = f"{int(whole):,}".replace(",", GROUP_SEPARATOR)
    return f"{sign}{grouped}.{fraction}" if scale else f"{sign}{grouped}"
