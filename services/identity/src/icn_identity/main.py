"""Puts the service together: ``icn-identity``, settings from the environment."""

from __future__ import annotations

from icn_kit.lifecycle import Stop
from icn_kit.service import Foundation, HostedService, Parts, run_hosted

from icn_identity.settings import IdentitySettings

SERVICE = "identity"
"""Name of its schema, of its events and of itself."""


async def assemble(_foundation: Foundation) -> Parts:
    """What this service is made of."""
    return Parts(servicers=[])


async def build(settings: IdentitySettings, stop: Stop) -> HostedService:
    """The service over ``settings``, not yet started.

    Raises:
        GenesisInvalid, OSError: the genesis file.
    """
    return await HostedService.build(SERVICE, settings, stop, assemble)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    run_hosted(SERVICE, IdentitySettings, build)


if __name__ == "__main__":
    main()
