"""Stable reasons. A transaction that is not valid is in no block; one that is refused leaves a receipt.

Source: docs/spec/transaction.md, "Validity", "Execution" and "Receipts".
"""

from __future__ import annotations

from typing import Final

MALFORMED_TRANSACTION: Final = "MALFORMED_TRANSACTION"
EXPIRED: Final = "EXPIRED"
EXPIRY_TOO_FAR: Final = "EXPIRY_TOO_FAR"
CONTROLLER_UNKNOWN: Final = "CONTROLLER_UNKNOWN"
PAYER_NOT_ALLOWED: Final = "PAYER_NOT_ALLOWED"
SEQUENCE_USED: Final = "SEQUENCE_USED"
SEQUENCE_GAP: Final = "SEQUENCE_GAP"
KEY_UNKNOWN: Final = "KEY_UNKNOWN"
THRESHOLD_NOT_MET: Final = "THRESHOLD_NOT_MET"
KEY_SCOPE_EXCEEDED: Final = "KEY_SCOPE_EXCEEDED"
SIGNATURE_INVALID: Final = "SIGNATURE_INVALID"
ALLOWANCE_EXCEEDED: Final = "ALLOWANCE_EXCEEDED"
BLOCK_FUEL_EXCEEDED: Final = "BLOCK_FUEL_EXCEEDED"

KEY_REVOKED: Final = "KEY_REVOKED"
PRINCIPAL_EXISTS: Final = "PRINCIPAL_EXISTS"
INVALID_KEY: Final = "INVALID_KEY"
SPONSOR_NOT_ORGANIZATION: Final = "SPONSOR_NOT_ORGANIZATION"
UNIT_EXISTS: Final = "UNIT_EXISTS"
UNIT_UNKNOWN: Final = "UNIT_UNKNOWN"
ACCOUNT_EXISTS: Final = "ACCOUNT_EXISTS"
ACCOUNT_UNKNOWN: Final = "ACCOUNT_UNKNOWN"
NOT_UNIT_AUTHORITY: Final = "NOT_UNIT_AUTHORITY"
NOT_ACCOUNT_OWNER: Final = "NOT_ACCOUNT_OWNER"
UNIT_MISMATCH: Final = "UNIT_MISMATCH"
CREDIT_LIMIT_EXCEEDED: Final = "CREDIT_LIMIT_EXCEEDED"
BALANCE_OUT_OF_RANGE: Final = "BALANCE_OUT_OF_RANGE"
HOLD_EXISTS: Final = "HOLD_EXISTS"
HOLD_UNKNOWN: Final = "HOLD_UNKNOWN"
HOLD_AMOUNT_EXCEEDED: Final = "HOLD_AMOUNT_EXCEEDED"
HOLD_EXPIRY_OUT_OF_RANGE: Final = "HOLD_EXPIRY_OUT_OF_RANGE"
ANCHOR_EXISTS: Final = "ANCHOR_EXISTS"
NOT_ZONE_AUTHORITY: Final = "NOT_ZONE_AUTHORITY"
NOT_GUARDIAN: Final = "NOT_GUARDIAN"
RECOVERY_PENDING: Final = "RECOVERY_PENDING"
RECOVERY_UNKNOWN: Final = "RECOVERY_UNKNOWN"
RECOVERY_NOT_READY: Final = "RECOVERY_NOT_READY"
RECOVERY_LAPSED: Final = "RECOVERY_LAPSED"
RECOVERY_DELAY_TOO_SHORT: Final = "RECOVERY_DELAY_TOO_SHORT"
NOT_SPONSOR: Final = "NOT_SPONSOR"
NOT_SPONSORED: Final = "NOT_SPONSORED"
SPONSOR_EXISTS: Final = "SPONSOR_EXISTS"
PAYS_FOR_ITSELF: Final = "PAYS_FOR_ITSELF"
CODE_EXISTS: Final = "CODE_EXISTS"
CODE_UNKNOWN: Final = "CODE_UNKNOWN"
CONTRACT_UNKNOWN: Final = "CONTRACT_UNKNOWN"
ACCOUNT_AMBIGUOUS: Final = "ACCOUNT_AMBIGUOUS"
ACCOUNT_UNDECLARED: Final = "ACCOUNT_UNDECLARED"
FUNDS_ELSEWHERE: Final = "FUNDS_ELSEWHERE"
OUT_OF_GAS: Final = "OUT_OF_GAS"
DATA_TOO_LARGE: Final = "DATA_TOO_LARGE"
EVENTS_TOO_LARGE: Final = "EVENTS_TOO_LARGE"
ENTRIES_ADDED_EXCEEDED: Final = "ENTRIES_ADDED_EXCEEDED"
STORAGE_FULL: Final = "STORAGE_FULL"

AUTHORITY_UNKNOWN: Final = "AUTHORITY_UNKNOWN"
AUTHORITY_EXISTS: Final = "AUTHORITY_EXISTS"
ORGANIZATION_UNKNOWN: Final = "ORGANIZATION_UNKNOWN"
NOT_A_MEMBER: Final = "NOT_A_MEMBER"
NOT_MEMBER_NOR_ORGANIZATION: Final = "NOT_MEMBER_NOR_ORGANIZATION"
MEMBERSHIP_EXISTS: Final = "MEMBERSHIP_EXISTS"
MEMBERSHIP_UNKNOWN: Final = "MEMBERSHIP_UNKNOWN"
MEMBERSHIP_NOT_APPLIED: Final = "MEMBERSHIP_NOT_APPLIED"
MEMBERSHIP_ENDED: Final = "MEMBERSHIP_ENDED"
LAST_MEMBER: Final = "LAST_MEMBER"
MEMBERS_FULL: Final = "MEMBERS_FULL"
ALREADY_VOUCHED: Final = "ALREADY_VOUCHED"
VOUCHES_FULL: Final = "VOUCHES_FULL"
VOUCHES_NOT_MET: Final = "VOUCHES_NOT_MET"
POLL_EXISTS: Final = "POLL_EXISTS"
POLL_UNKNOWN: Final = "POLL_UNKNOWN"
POLL_CLOSE_OUT_OF_RANGE: Final = "POLL_CLOSE_OUT_OF_RANGE"
POLL_TOO_SHORT: Final = "POLL_TOO_SHORT"
POLL_CLOSED: Final = "POLL_CLOSED"
POLL_OPEN: Final = "POLL_OPEN"
POLL_OF_ANOTHER: Final = "POLL_OF_ANOTHER"
POLL_DECIDED: Final = "POLL_DECIDED"
NOT_ELIGIBLE: Final = "NOT_ELIGIBLE"
DECISION_EXISTS: Final = "DECISION_EXISTS"
DECISION_EXPIRED: Final = "DECISION_EXPIRED"
QUORUM_NOT_MET: Final = "QUORUM_NOT_MET"

Figures = tuple[tuple[str, int], ...]
"""Numbers that were compared, by name, in the order that the specification fixes for the reason."""


class NotValid(Exception):
    """A block may not include the transaction; the first validity rule that fails."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Malformed(NotValid):
    """Validity rule 1."""

    def __init__(self, message: str) -> None:
        super().__init__(MALFORMED_TRANSACTION, message)


class Refused(Exception):
    """Execution leaves the transaction without effect, with a receipt that says why."""

    def __init__(self, reason: str, *figures: tuple[str, int]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.figures: Figures = figures


class InvariantBroken(AssertionError):
    """The state would no longer add up. The node stops: going on would only hide the fault."""
