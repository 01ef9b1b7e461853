"""The story of the second golden chain: a zone of protocol version 1 that goes on by version 2.

What the versions differ in is asked on both sides of the edge; `golden_chain` writes it down.
"""

from __future__ import annotations

from collections.abc import Iterator

from libs.machine.tests.equivocations import evidence, record
from libs.machine.tests.golden_story import Block, Sent, Story, action, block
from libs.machine.tests.institutions import FEDERATION, set_zone_authority
from libs.machine.tests.seats import activate_protocol, change, remove
from libs.machine.tests.zone import EPOCH_MS, anchor, identifier

MINUTES = bytes([1]) * 32
"""Anchored by the first story's people."""


class UpgradeStory(Story):
    """Blocks across the edge at which version 2 comes in force, up to a decision for version 3."""

    def blocks(self) -> Iterator[Block]:
        """All of it."""
        yield from self.people()
        yield from self.federation()
        yield from self.activation()
        yield from self.by_the_new_rules()

    def activation(self) -> Iterator[Block]:
        shop, ana, authority = self.shop, self.ana, self.zone.authority
        yield block(
            Sent(shop, [record(evidence(self.zone))]),
            Sent(ana, [anchor(MINUTES)], "ANCHOR_EXISTS"),
            Sent(ana, [record(evidence(self.zone, view=10))], "EQUIVOCATION_RECORDED"),
            Sent(shop, [activate_protocol(2)], "NOT_ZONE_AUTHORITY"),
            Sent(shop, [self.decided(action(activate_protocol(2)))], "NOT_ZONE_AUTHORITY"),
            Sent(authority, [activate_protocol(3)], "PROTOCOL_NOT_NEXT"),
            signers=(0, 1, 2),
        )
        yield block(
            Sent(authority, [activate_protocol(2)]),
            Sent(authority, [activate_protocol(2)], "PROTOCOL_PENDING"),
            Sent(authority, [activate_protocol(3)], "PROTOCOL_PENDING"),
            signers=(0, 1, 2, 3),
        )
        yield block(
            Sent(
                authority, [change(self.zone, remove(identifier("nobody")), of=self.next_set)], "NOT_SEATED"
            ),
            Sent(authority, [set_zone_authority(FEDERATION)]),
            Sent(ana, [anchor(MINUTES)], "ANCHOR_EXISTS"),
            signers=(0, 1, 3),
        )
        yield block(after_ms=EPOCH_MS, signers=(0, 1, 2))

    def by_the_new_rules(self) -> Iterator[Block]:
        shop, ana = self.shop, self.ana
        enacted = self.decided()
        yield block(
            Sent(ana, [anchor(MINUTES)], "ANCHOR_EXISTS"),
            Sent(ana, [record(evidence(self.zone, view=10))], "EQUIVOCATION_RECORDED"),
            Sent(shop, [enacted]),
            Sent(ana, [anchor(bytes([2]) * 32)]),
            signers=(0, 1, 2, 3),
        )
        yield block(
            Sent(shop, [enacted], "DECISION_EXISTS"),
            Sent(shop, [self.decided(action(activate_protocol(2)))], "PROTOCOL_NOT_NEXT"),
            Sent(shop, [self.decided(action(activate_protocol(4)))], "PROTOCOL_NOT_NEXT"),
            Sent(shop, [self.decided(action(activate_protocol(3)))]),
            Sent(shop, [self.decided(action(activate_protocol(3)))], "PROTOCOL_PENDING"),
            signers=(1, 2, 3),
        )
        yield block(signers=(1, 2, 3))
