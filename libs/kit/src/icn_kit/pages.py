"""Pages of lists: how long they are, and cursors that say where one ended, bound to the list it is of.

A token is base64url of checksum ‖ place. The checksum covers genesis hash, list and filter: every process
takes every other's tokens, and one that was changed or belongs to another list is refused. It is no secret: a
forged one would only begin a page elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from icn_kit.errors import InvalidArgument

_CHECKSUM_BYTES = 8
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class PageTokens:
    """Tokens of one zone."""

    genesis_hash: bytes

    def write(self, listing: str, place: bytes) -> str:
        """The token of a place (at most 32 bytes) in a list; ``listing`` names the list and its filter."""
        return base64.urlsafe_b64encode(self._checksum(listing, place) + place).rstrip(b"=").decode()

    def read(self, listing: str, token: str, place_bytes: int) -> bytes | None:
        """The place of a token; None for the empty token, which means the first page.

        Raises:
            InvalidArgument: INVALID_PAGE_TOKEN.
        """
        if not token:
            return None
        try:
            if _TOKEN.match(token) is None:
                raise ValueError(token)
            decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            decoded = b""
        place = decoded[_CHECKSUM_BYTES:]
        if len(place) != place_bytes or self.write(listing, place) != token:
            raise InvalidArgument("INVALID_PAGE_TOKEN", "page_token is not one that this list has given out")
        return place

    def _checksum(self, listing: str, place: bytes) -> bytes:
        name = listing.encode()
        return sha256(self.genesis_hash + len(name).to_bytes(4, "big") + name + place).digest()[
            :_CHECKSUM_BYTES
        ]


def check_page_size(page_size: int, default: int, largest: int) -> int:
    """The page size wanted; 0 means the default.

    Raises:
        InvalidArgument: PAGE_SIZE_OUT_OF_RANGE.
    """
    if page_size > largest:
        raise InvalidArgument(
            "PAGE_SIZE_OUT_OF_RANGE",
            f"page_size {page_size}, the largest is {largest}",
            page_size=page_size,
            page_size_max=largest,
        )
    return page_size or default
