"""The handshake that binds a stream to a seat: each side signs the other's nonce with its consensus key.

The caller says who it is, the callee answers the caller's nonce and sends its own, the caller answers that.
Source: protos/icn/consensus/v1/peer.proto, "Hello"; docs/spec/block.md, "hello body".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from icn.consensus.v1 import peer_pb2
from icn_crypto import tags
from icn_kit.errors import DomainError, ErrorKind

from icn_consensus.domain.block import INTEGER_MAX, SIGNATURE_BYTES
from icn_consensus.domain.ports import Crypto
from icn_consensus.domain.validator_set import ValidatorSet

NONCE_BYTES: Final = 32
CALLER, CALLEE = 1, 2
"""Roles in a Hello's preimage."""


class HelloRefused(DomainError):
    """The other side is not the validator it says it is, or not of this zone."""

    kind = ErrorKind.PERMISSION_DENIED
    reason = "HELLO_REFUSED"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks here."""

    genesis_hash: bytes
    seat: int
    validators: ValidatorSet
    crypto: Crypto


class Greeting:
    """One side of one stream's handshake."""

    def __init__(self, identity: Identity, *, expected_seat: int | None = None) -> None:
        """``expected_seat``: whom the caller dialled; None where anybody may call."""
        self._identity = identity
        self._expected_seat = expected_seat
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self.seat = -1
        """Of the other side, once a Hello was taken."""
        self.final_height = 0
        """As the other side said."""
        self._peer_nonce = b""
        self._is_caller = False
        """Whether we spoke first."""
        self.is_proven = False
        """Whether the other side answered our nonce with its seat's key."""

    def say(self, final_height: int) -> peer_pb2.PeerFrame:
        """Our Hello; it answers the other side's nonce when that is known."""
        identity = self._identity
        hello = peer_pb2.Hello(
            genesis_hash=identity.genesis_hash,
            seat=identity.seat,
            nonce=self._nonce,
            final_height=final_height,
        )
        if self._peer_nonce:
            body = hello_body(identity.seat, self.seat, self._peer_nonce, is_from_caller=self._is_caller)
            hello.answered_nonce = self._peer_nonce
            hello.signature = identity.crypto.sign(tags.HELLO, body)
        else:
            self._is_caller = True
        return peer_pb2.PeerFrame(hello=hello)

    def hear(self, frame: peer_pb2.PeerFrame, *, must_answer: bool) -> None:
        """Take the other side's Hello.

        Args:
            frame: what it sent.
            must_answer: whether it has to prove its seat now; not in a caller's first Hello.

        Raises:
            HelloRefused: it is none, of another zone or seat, or its signature is not its key's.
        """
        if frame.WhichOneof("kind") != "hello":
            raise HelloRefused("a stream begins with a Hello")
        hello, identity = frame.hello, self._identity
        if hello.genesis_hash != identity.genesis_hash:
            raise HelloRefused("of another zone")
        if hello.seat >= identity.validators.seats or hello.seat == identity.seat:
            raise HelloRefused(f"seat {hello.seat} cannot be the other side", seat=hello.seat)
        if self._expected_seat is not None and hello.seat != self._expected_seat:
            raise HelloRefused(f"seat {hello.seat} answered at the address of seat {self._expected_seat}")
        if self.seat not in (-1, hello.seat) or (self._peer_nonce and hello.nonce != self._peer_nonce):
            raise HelloRefused("a second Hello differs from the first")
        if len(hello.nonce) != NONCE_BYTES or hello.final_height > INTEGER_MAX:
            raise HelloRefused(f"a nonce has {NONCE_BYTES} bytes, a height at most 63 bits")
        if must_answer:
            self._check_answer(hello)
        self.seat, self.final_height, self._peer_nonce = hello.seat, hello.final_height, hello.nonce

    def _check_answer(self, hello: peer_pb2.Hello) -> None:
        if hello.answered_nonce != self._nonce or len(hello.signature) != SIGNATURE_BYTES:
            raise HelloRefused("the Hello does not answer our nonce")
        public_key = self._identity.validators.public_keys[hello.seat]
        body = hello_body(hello.seat, self._identity.seat, self._nonce, is_from_caller=not self._is_caller)
        item = (public_key, tags.HELLO, body, hello.signature)
        if not self._identity.crypto.verify([item])[0]:
            raise HelloRefused(f"the signature is not that of seat {hello.seat}", seat=hello.seat)
        self.is_proven = True


def hello_body(seat: int, receiver_seat: int, nonce: bytes, *, is_from_caller: bool) -> bytes:
    """What a Hello's preimage holds: u8 role ‖ u32be seat ‖ u32be receiver's seat ‖ answered nonce.

    Role and receiver keep somebody in the middle from passing one validator's answer on to another.
    """
    role = CALLER if is_from_caller else CALLEE
    return bytes((role,)) + seat.to_bytes(4, "big") + receiver_seat.to_bytes(4, "big") + nonce
