"""Protocol versions that this release knows, and what differs between them.

Every rule that nodes must agree on and that is not the same in all versions is a field of `ProtocolRules`,
read by the version in force: so what a version means stands in one table, and nothing else asks for numbers.

Source: docs/spec/consensus.md, "Protocol versions";
docs/adr/0050-protocol-versions-change-at-an-epoch-s-edge.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class ProtocolRules(NamedTuple):
    """In what a version differs from others."""

    tells_since_when: bool
    """Whether a refusal because something is in the state already (ANCHOR_EXISTS, DECISION_EXISTS,
    EQUIVOCATION_RECORDED) has the height at which it came as a figure."""


KNOWN_PROTOCOLS: Final[Mapping[int, ProtocolRules]] = {
    1: ProtocolRules(tells_since_when=False),
    2: ProtocolRules(tells_since_when=True),
}
"""By version, from 1 without a gap: who knows one can execute all chains of earlier ones."""
FIRST_PROTOCOL: Final = 1
NEWEST_PROTOCOL: Final = max(KNOWN_PROTOCOLS)
"""What a new zone begins with, unless its genesis says otherwise."""


def is_protocol_step(before: int, after: int) -> bool:
    """Whether an epoch of one version may be followed by one of the other: the same, or the next."""
    return after in {before, before + 1}


def unknown_protocol(version: int, height: int, newest: int = NEWEST_PROTOCOL) -> str:
    """What somebody is told whose release cannot follow the chain.

    Args:
        version: which is in force.
        height: first block of the epoch since which it is.
        newest: version that the release knows.
    """
    return f"protocol version {version} is in force from height {height} on; {known_protocols(newest)}"


def held_protocol(version: int, height: int, newest: int = NEWEST_PROTOCOL) -> str:
    """What somebody is told whose data lies past what the release knows, such as after going back to an older
    one.

    Args:
        version: of the newest block.
        height: that one's.
        newest: version that the release knows.
    """
    return (
        f"block {height} in this database is of protocol version {version}; {known_protocols(newest)} "
        "(nothing was changed: the newer release goes on from here)"
    )


def known_protocols(newest: int = NEWEST_PROTOCOL) -> str:
    """What is known, and what to do where that is too little."""
    if newest == FIRST_PROTOCOL:
        known = f"{FIRST_PROTOCOL}"
    else:
        before = ", ".join(str(version) for version in range(FIRST_PROTOCOL, newest))
        known = f"{before} and {newest}"
    return f"this release knows {known}: upgrade icn"
