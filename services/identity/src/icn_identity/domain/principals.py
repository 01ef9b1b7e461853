"""Principals as the ledger has them, and as identity shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from icn_credentials import did_key
from icn_credentials.multikey import KeyKind, PublicKey
from icn_crypto.suites import Suite

PRINCIPAL_BYTES = 16


@dataclass(frozen=True, slots=True)
class ControllerKey:
    """A key of a controller."""

    public_keys: Mapping[int, bytes]
    """By suite number."""
    is_scoped: bool = False

    @property
    def did(self) -> str:
        """did:key of its Ed25519 key; empty where it has none."""
        ed25519 = self.public_keys.get(Suite.ED25519)
        return "" if ed25519 is None else did_key.from_key(PublicKey(KeyKind.ED25519, ed25519))


@dataclass(frozen=True, slots=True)
class Controller:
    """Who may sign for a principal."""

    principal: bytes
    threshold: int
    keys: Mapping[bytes, ControllerKey]
    """By key id."""
    guardian: bytes = b""
    """Empty: nobody may recover it."""
    recovery_delay_ms: int = 0
    is_being_recovered: bool = False

    @property
    def own_keys(self) -> dict[bytes, Mapping[int, bytes]]:
        """Public keys of the unscoped keys, by key id."""
        return {key_id: key.public_keys for key_id, key in self.keys.items() if not key.is_scoped}


@dataclass(frozen=True, slots=True)
class Recovery:
    """New keys that are announced."""

    guardian: bytes
    ready_time_ms: int
    keys: Mapping[bytes, ControllerKey]


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a principal belongs."""

    organization: bytes
    member: bytes
    status: str
    """``applied``, ``active`` or ``ended``."""
    since_time_ms: int
    height: int = 0
    """At which it was read, where one was asked for by itself."""


@dataclass(frozen=True, slots=True)
class Person:
    """All that the ledger says of a principal."""

    controller: Controller
    recovery: Recovery | None = None
    memberships: tuple[Membership, ...] = field(default=())
