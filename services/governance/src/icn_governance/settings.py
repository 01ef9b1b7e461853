"""Settings of the service, all from the environment (``ICN_GOVERNANCE_…``)."""

from __future__ import annotations

from icn_kit.settings import HostedSettings


class GovernanceSettings(HostedSettings, service="governance"):
    """What every service of the host is told; nothing more so far."""
