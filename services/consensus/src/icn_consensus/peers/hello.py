"""The handshake that binds a stream to a consensus key: each side signs the other's fresh nonce.

Source: protos/icn/consensus/v1/peer.proto, Hello; docs/spec/block.md, "hello body".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from icn.consensus.v1 import peer_pb2
from icn_chain.certificate import SIGNATURE_BYTES
from icn_chain.header import INTEGER_MAX
from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL
from icn_crypto import tags
from icn_kit.errors import DomainError, ErrorKind

from icn_consensus.domain.ports import Crypto

NONCE_BYTES: Final = 32
KEY_BYTES: Final = 32
CALLER, CALLEE = 1, 2
"""Roles in a Hello's preimage."""


class HelloRefused(DomainError):
    """The other side has not the key it says it has, or is not of this zone."""

    kind = ErrorKind.PERMISSION_DENIED
    reason = "HELLO_REFUSED"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks here."""

    genesis_hash: bytes
    public_key: bytes
    crypto: Crypto
    label: str = ""
    """In metrics: its seat at genesis, or the beginning of its key."""
    protocol_newest: int = NEWEST_PROTOCOL
    """Newest protocol version that it can decide by, which it tells the others."""


class Greeting:
    """One side of one stream's handshake."""

    def __init__(self, identity: Identity, channel: bytes = b"") -> None:
        """``channel``: hash of the certificate that the caller shows on the connection, as this side knows
        it; empty in plain text."""
        self._identity = identity
        self._channel = channel
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self.peer = b""
        """Key of the other side, once a Hello was taken; its own only once `is_proven`."""
        self.final_height = 0
        """As the other side said."""
        self.protocol_newest = FIRST_PROTOCOL
        """As the other side said."""
        self._peer_nonce = b""
        self._is_caller = False
        """Whether we spoke first."""
        self.is_proven = False
        """Whether the other side answered our nonce with its key."""

    def say(self, final_height: int) -> peer_pb2.PeerFrame:
        """Our Hello; it answers the other side's nonce when that is known."""
        identity = self._identity
        hello = peer_pb2.Hello(
            genesis_hash=identity.genesis_hash,
            public_key=identity.public_key,
            nonce=self._nonce,
            final_height=final_height,
            protocol_newest=identity.protocol_newest,
        )
        if self._peer_nonce:
            body = hello_body(
                identity.public_key,
                self.peer,
                self._peer_nonce,
                self._channel,
                is_from_caller=self._is_caller,
            )
            hello.answered_nonce = self._peer_nonce
            hello.signature = identity.crypto.sign(tags.HELLO, body)
        else:
            self._is_caller = True
        return peer_pb2.PeerFrame(hello=hello)

    def hear(self, frame: peer_pb2.PeerFrame, *, must_answer: bool) -> None:
        """Take the other side's Hello.

        Args:
            frame: what it sent.
            must_answer: whether it has to prove its key now; not in a caller's first Hello.

        Raises:
            HelloRefused: it is none, of another zone, or its signature is not its key's.
        """
        if frame.WhichOneof("kind") != "hello":
            raise HelloRefused("a stream begins with a Hello")
        hello, identity = frame.hello, self._identity
        if hello.genesis_hash != identity.genesis_hash:
            raise HelloRefused("of another zone")
        if len(hello.public_key) != KEY_BYTES or hello.public_key == identity.public_key:
            raise HelloRefused(f"key {hello.public_key.hex()} cannot be the other side's")
        if self.peer not in (b"", hello.public_key) or (self._peer_nonce and hello.nonce != self._peer_nonce):
            raise HelloRefused("a second Hello differs from the first")
        if len(hello.nonce) != NONCE_BYTES or hello.final_height > INTEGER_MAX:
            raise HelloRefused(f"a nonce has {NONCE_BYTES} bytes, a height at most 63 bits")
        if must_answer:
            self._check_answer(hello)
        self.peer, self.final_height, self._peer_nonce = hello.public_key, hello.final_height, hello.nonce
        self.protocol_newest = hello.protocol_newest or FIRST_PROTOCOL

    def _check_answer(self, hello: peer_pb2.Hello) -> None:
        if hello.answered_nonce != self._nonce or len(hello.signature) != SIGNATURE_BYTES:
            raise HelloRefused("the Hello does not answer our nonce")
        own, peer = self._identity.public_key, hello.public_key
        body = hello_body(peer, own, self._nonce, self._channel, is_from_caller=not self._is_caller)
        if not self._identity.crypto.verify([(peer, tags.HELLO, body, hello.signature)])[0]:
            raise HelloRefused(f"the signature is not that of key {peer.hex()}")
        self.is_proven = True


def hello_body(
    speaker: bytes, receiver: bytes, nonce: bytes, channel: bytes, *, is_from_caller: bool
) -> bytes:
    """What a Hello's preimage holds: u8 role ‖ speaker's key ‖ receiver's key ‖ answered nonce ‖ hash of the
    caller's certificate, where the connection has one.

    Role, receiver and certificate keep somebody in the middle from passing one validator's answer on to
    another: on its two connections the caller's certificates differ.
    """
    role = CALLER if is_from_caller else CALLEE
    return bytes((role,)) + speaker + receiver + nonce + channel
