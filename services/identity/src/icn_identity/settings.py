"""Settings of the service, all from the environment (``ICN_IDENTITY_…``)."""

from __future__ import annotations

from typing import Annotated

from icn_kit.settings import HostedSettings
from pydantic import AfterValidator


def _check_domain(domain: str) -> str:
    """A domain as it stands in a did:webvh, a port written %3A."""
    from icn_credentials.organization import did_template

    did_template(domain, bytes(16))  # raises ValueError
    return domain


class IdentitySettings(HostedSettings, service="identity"):
    """What every service of the host is told, and where DIDs are published."""

    domain: Annotated[str, AfterValidator(_check_domain)] = "localhost"
    """Host of the organizations' DIDs, such as ``federation.example`` or ``localhost%3A8080``. Changing it
    leaves DIDs that exist where they are, and refuses their next entries."""
