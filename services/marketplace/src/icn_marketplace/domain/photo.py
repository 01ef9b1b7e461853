"""What a photo is. Source: docs/spec/marketplace.md, "Limits"."""

from __future__ import annotations

from hashlib import sha256

from icn_kit.errors import InvalidArgument

from icn_marketplace.domain.limits import PHOTO_BYTES_MAX


def check_photo(content: bytes, digest: bytes) -> str:
    """The media type of a photo whose signed digest it must have.

    Raises:
        InvalidArgument: PHOTO_TOO_LARGE, PHOTO_DIGEST_MISMATCH, PHOTO_KIND_UNKNOWN.
    """
    if len(content) > PHOTO_BYTES_MAX:
        raise InvalidArgument(
            "PHOTO_TOO_LARGE",
            f"{len(content)} bytes, at most {PHOTO_BYTES_MAX}",
            size_bytes=len(content),
            size_bytes_max=PHOTO_BYTES_MAX,
        )
    if sha256(content).digest() != digest:
        raise InvalidArgument("PHOTO_DIGEST_MISMATCH", "the content does not have the digest that was signed")
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    raise InvalidArgument("PHOTO_KIND_UNKNOWN", "neither JPEG nor PNG nor WebP")
