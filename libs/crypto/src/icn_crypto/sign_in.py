"""What is signed to sign in at a gateway.

Source: docs/spec/gateway.md, "Sign-in".
"""

from icn_crypto.hashing import preimage
from icn_crypto.tags import SIGN_IN


def sign_in_preimage(genesis_hash: bytes, origin: str, challenge: bytes) -> bytes:
    """What the keys sign: the challenge, for the origin that the signer itself has connected to.

    Args:
        genesis_hash: of the zone.
        origin: ``scheme://host[:port]`` in lower case, without a path; the default port left out.
        challenge: as the gateway gave it.
    """
    named = origin.encode()
    return preimage(SIGN_IN, genesis_hash, len(named).to_bytes(4, "big") + named + challenge)
