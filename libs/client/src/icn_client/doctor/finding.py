"""What a look at an installation found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

RUNBOOKS: Final = "docs/operating/runbooks"
PAGE: Final = "docs/operating/doctor.md"


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    PROBLEM = "problem"
    """Something does not work, or stops working by itself."""
    WARNING = "warning"
    """Something should be otherwise."""
    UNKNOWN = "unknown"
    """It could not be looked at; the finding says why."""
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about an installation."""

    check: str
    """What was looked at, in a word or two."""
    severity: Severity
    found: str
    """What was compared, with its numbers."""
    advice: str = ""
    """What to do; empty where nothing is to be done."""
    page: str = ""
    """Of this repository, with more."""

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """The worst first, each kind in the order found."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def runbook(alert: str) -> str:
    """Of the alert that tells the same."""
    return f"{RUNBOOKS}/{alert}.md"
