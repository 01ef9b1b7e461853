"""Addresses as contracts see them.

The canonical form is the text's own bytes: ids on the ledger are opaque, so there is nothing to decode.

Source: docs/spec/vm.md, "Addresses".
"""

import re
from typing import Final

from icn_crypto.hashing import domain_hash
from icn_crypto.tags import CONTRACT

_ADDRESS: Final = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,62}[a-z0-9])?")
_ID_BYTES: Final = 16


def is_address(text: str) -> bool:
    """Whether the text is an address in its one form."""
    return _ADDRESS.fullmatch(text) is not None


def address_fault(content: bytes) -> str | None:
    """Why the bytes are no address, None when they are."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return "an address is ASCII"
    return None if is_address(text) else "an address is 1 to 64 of a-z, 0-9 and . _ / - inside"


def contract_address(genesis_hash: bytes, checksum: bytes, sequence: int) -> str:
    """The address of the zone's contract number ``sequence``, made from the code with this checksum."""
    assert 0 <= sequence < 1 << 64, "a sequence is an unsigned 64-bit number"
    body = checksum + sequence.to_bytes(8, "big")
    return "contracts/" + domain_hash(CONTRACT, genesis_hash, body)[:_ID_BYTES].hex()
