"""Who hands transactions in: somebody who numbers them, or members of a zone who trade.

A client hands in again what has not been executed (`icn_sim.world.Network.submit_again`), as one does who was
told *unknown*.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.hashing import preimage, sha256
from icn_crypto.suites import SigningKey, Suite, key_id

from icn_sim.application import EXPIRING
from icn_sim.zone import GENESIS_HASH

MEMBERS: Final = 4
FLOOR_MINOR: Final = -500
AMOUNT_MAX: Final = 300
"""Some transfers find too little and are refused when they are executed."""
HOLDS: Final = 6
"""Ids that holds are placed under, again and again."""
EXPIRY_MS: Final = 3_600_000


class Clients(Protocol):
    """Makes transactions. Each is another one."""

    def draw(self, choose: random.Random, now_ms: int) -> bytes:
        """The next one."""
        ...


@dataclass(slots=True)
class Numbering:
    """Transactions for `icn_sim.application`: every fifth makes something that expires."""

    count: int = 0

    def draw(self, choose: random.Random, now_ms: int) -> bytes:
        """See `Clients`."""
        self.count += 1
        if not choose.randrange(5):
            return EXPIRING + b"%d %d" % (now_ms + choose.randint(100, 5_000), self.count)
        return b"transaction %d" % self.count


class Principal:
    """Somebody with one key and one lane."""

    def __init__(self, name: str, sponsor: Principal | None) -> None:
        self.identifier = sha256(name.encode())[:16]
        self.account = sha256(b"account of " + name.encode())[:16]
        self._key = SigningKey.from_seed(Suite.ED25519, sha256(b"key of " + name.encode()))
        self._payer = self if sponsor is None else sponsor
        self._sequence = 0

    @property
    def public_key(self) -> bytes:
        """Ed25519, 32 bytes."""
        return self._key.public_key

    @property
    def key_id(self) -> bytes:
        """Of its key."""
        return key_id({Suite.ED25519: self.public_key})

    def sign(self, *messages: pb.Message, now_ms: int) -> bytes:
        """Its next transaction."""
        self._sequence += 1
        return self.sign_at(0, self._sequence, *messages, now_ms=now_ms)

    def sign_at(self, lane: int, sequence: int, *messages: pb.Message, now_ms: int) -> bytes:
        """A transaction at this place, whatever the lane holds."""
        body = pb.TransactionBody(
            principal=self.identifier,
            payer=self._payer.identifier,
            lane=lane,
            sequence=sequence,
            expire_time_ms=now_ms + EXPIRY_MS,
            messages=messages,
        ).SerializeToString(deterministic=True)
        signature = self._key.sign(preimage(tags.TRANSACTION, GENESIS_HASH, body))
        signed = pb.Signature(suite=int(Suite.ED25519), key_id=self.key_id, signature=signature)
        return pb.Transaction(body=body, signatures=[signed]).SerializeToString(deterministic=True)


@dataclass(slots=True)
class Traders:
    """Members with an account each who transfer, hold, capture and void: for `icn_sim.ledger`."""

    founder: Principal
    members: list[Principal] = field(init=False)
    _opening: Iterator[tuple[Principal, list[pb.Message]]] = field(init=False)

    def __post_init__(self) -> None:
        self.members = [Principal(f"member {number}", self.founder) for number in range(MEMBERS)]
        self._opening = self._open()

    def draw(self, choose: random.Random, now_ms: int) -> bytes:
        """See `Clients`. The first ones open what the others use."""
        who, messages = next(self._opening, None) or self._trade(choose, now_ms)
        return who.sign(*messages, now_ms=now_ms)

    def _open(self) -> Iterator[tuple[Principal, list[pb.Message]]]:
        unit = sha256(b"unit")[:16]
        created = pb.CreateUnit(unit=unit, code="HOUR", scale=2, default_floor_minor=FLOOR_MINOR)
        opened = [
            pb.Message(
                open_controller=pb.OpenController(
                    principal=member.identifier,
                    threshold=1,
                    keys=[
                        pb.ControllerKey(
                            public_keys=[pb.PublicKey(suite=int(Suite.ED25519), public_key=member.public_key)]
                        )
                    ],
                )
            )
            for member in self.members
        ]
        yield self.founder, [pb.Message(create_unit=created), *opened]
        for member in self.members:
            yield member, [pb.Message(open_account=pb.OpenAccount(account=member.account, unit=unit))]

    def _trade(self, choose: random.Random, now_ms: int) -> tuple[Principal, list[pb.Message]]:
        payer, payee = choose.sample(self.members, 2)
        amount = choose.randint(1, AMOUNT_MAX)
        hold = sha256(b"hold %d" % choose.randrange(HOLDS))[:16]
        kind = choose.randrange(10)
        if kind < 5:
            moved = pb.Transfer(source=payer.account, destination=payee.account, amount_minor=amount)
            return payer, [pb.Message(transfer=moved)]
        if kind < 8:
            placed = pb.PlaceHold(
                hold=hold,
                source=payer.account,
                destination=payee.account,
                amount_minor=amount,
                expire_time_ms=now_ms + choose.randint(500, 6_000),
            )
            return payer, [pb.Message(place_hold=placed)]
        if kind < 9:
            return payee, [pb.Message(capture_hold=pb.CaptureHold(hold=hold, amount_minor=amount))]
        return payee, [pb.Message(void_hold=pb.VoidHold(hold=hold))]
