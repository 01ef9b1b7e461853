"""Unsigned varints of multiformats: seven bits a byte, the lowest first, in the shortest form."""

from typing import Final

BYTES_MAX: Final = 9
"""63 bits; the specification's own limit."""


def encode(number: int) -> bytes:
    """The number in its shortest form."""
    assert number >= 0, "lengths and codes are not negative"
    content = bytearray()
    while number >= 0x80:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)


def read(content: bytes) -> tuple[int, bytes]:
    """The number at the start and what follows it.

    Raises:
        ValueError: cut short, over nine bytes, or longer than need be.
    """
    number = 0
    for place, byte in enumerate(content[:BYTES_MAX]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if byte == 0 and place:
                raise ValueError("a varint is longer than need be")
            return number, content[place + 1 :]
    raise ValueError("a varint does not end")
