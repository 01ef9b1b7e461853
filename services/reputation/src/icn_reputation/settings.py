"""Settings of the service, all from the environment (``ICN_REPUTATION_…``)."""

from __future__ import annotations

from icn_kit.settings import HostedSettings


class ReputationSettings(HostedSettings, service="reputation"):
    """What every service of the host is told; nothing more so far."""
