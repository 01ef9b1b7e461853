"""Multibase: bytes as text that names its own base.

Bases whose size is no power of two cost the square of the length, so their text is bounded.
Source: draft-multiformats-multibase; W3C Controlled Identifiers 1.0, section 2.4.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from icn_credentials.faults import InvalidMultibase

CHARACTERS_MAX: Final = 8_388_608
"""Of a base that costs one step a character; bounds memory."""
DIGITS_MAX: Final = 16_384
"""Of a base that costs the square; an ML-DSA-87 signature has 6,321 characters in base58."""

_LIMB_DIGITS: Final = 10
"""Digits taken together: as many as fit a machine word in base58, so that long numbers are touched seldom."""

_EMOJI: Final = (
    "🚀🪐☄🛰🌌🌑🌒🌓🌔🌕🌖🌗🌘🌍🌏🌎🐉☀💻🖥💾💿😂❤😍🤣😊🙏💕😭😘👍😅👏😁🔥🥰💔💖💙😢🤔😆🙄💪😉☺👌🤗💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌"
    "😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣😜💋👀😪😑💥🙋😞😩😡🤪👊🥳😥🤤👉💃😳✋😚😝😴🌟😬🙃🍀🌷😻😓⭐✅🥺🌈😈🤘💦✔😣🏃💐☹🎊💘😠"
    "☝😕🌺🎂🌻😐🖕💝🙊😹🗣💫💀👑🎵🤞😛🔴😤🌼😫⚽🤙☕🏆🤫👈😮🙆🍻🍃🐶💁😲🌿🧡🎁⚡🌞🎈❌✊👋😰🤨😶🤝🚶💰🍓💢🤟🙁🚨💨🤬✈🎀🍺🤓😙💟🌱😖👶🥴"
    "▶➡❓💎💸⬇😨🌚🦋😷🕺⚠🙅😟😵👎🤲🤠🤧📌🔵💅🧐🐾🍒😗🤑🌊🤯🐷☎💧😯💆👆🎤🙇🍑❄🌴💣🐸💌📍🥀🤢👅💡💩👐📸👻🤐🤮🎼🥵🚩🍎🍊👼💍📣🥂"
)
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Base:
    """One way to write bytes as text."""

    name: str
    prefix: str
    alphabet: str
    is_padded: bool = False
    """Filled up with ``=`` to whole groups, as RFC 4648 has it."""

    @property
    def bits(self) -> int | None:
        """Bits of one character; None where the size of the alphabet is no power of two."""
        size = len(self.alphabet)
        return size.bit_length() - 1 if size & (size - 1) == 0 else None


BASES: Final[Mapping[str, Base]] = {
    base.name: base
    for base in (
        Base("base2", "0", "01"),
        Base("base8", "7", "01234567"),
        Base("base10", "9", "0123456789"),
        Base("base16", "f", "0123456789abcdef"),
        Base("base16upper", "F", "0123456789ABCDEF"),
        Base("base32hex", "v", "0123456789abcdefghijklmnopqrstuv"),
        Base("base32hexupper", "V", "0123456789ABCDEFGHIJKLMNOPQRSTUV"),
        Base("base32hexpad", "t", "0123456789abcdefghijklmnopqrstuv", is_padded=True),
        Base("base32hexpadupper", "T", "0123456789ABCDEFGHIJKLMNOPQRSTUV", is_padded=True),
        Base("base32", "b", "abcdefghijklmnopqrstuvwxyz234567"),
        Base("base32upper", "B", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        Base("base32pad", "c", "abcdefghijklmnopqrstuvwxyz234567", is_padded=True),
        Base("base32padupper", "C", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", is_padded=True),
        Base("base32z", "h", "ybndrfg8ejkmcpqxot1uwisza345h769"),
        Base("base36", "k", "0123456789abcdefghijklmnopqrstuvwxyz"),
        Base("base36upper", "K", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        Base("base58btc", "z", _BASE58),
        Base("base58flickr", "Z", "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"),
        Base("base64", "m", _BASE64 + "+/"),
        Base("base64pad", "M", _BASE64 + "+/", is_padded=True),
        Base("base64url", "u", _BASE64 + "-_"),
        Base("base64urlpad", "U", _BASE64 + "-_", is_padded=True),
        Base("base256emoji", "🚀", _EMOJI),
    )
}
BASE58BTC: Final = BASES["base58btc"]
BASE64URL: Final = BASES["base64url"]

_BY_PREFIX: Final = {base.prefix: base for base in BASES.values()}
_VALUES: Final = {
    base.name: {character: value for value, character in enumerate(base.alphabet)} for base in BASES.values()
}


def encode(base: Base, content: bytes) -> str:
    """The bytes as text with its prefix."""
    return base.prefix + encode_digits(base, content)


def decode(text: str) -> tuple[Base, bytes]:
    """The base and the bytes of a text with its prefix.

    Raises:
        InvalidMultibase: an unknown prefix, a character of another alphabet, bits left over, or too long.
    """
    base = _BY_PREFIX.get(text[:1])
    if base is None:
        raise InvalidMultibase(f"no base begins with {text[:1]!r}")
    return base, decode_digits(base, text[1:])


def encode_digits(base: Base, content: bytes) -> str:
    """The bytes as text without a prefix."""
    if base.bits is None:
        return _encode_number(base, content)
    return _encode_bits(base, base.bits, content)


def decode_digits(base: Base, digits: str) -> bytes:
    """The bytes of a text without a prefix.

    Raises:
        InvalidMultibase: as for ``decode``.
    """
    bits = base.bits
    if len(digits) > (DIGITS_MAX if bits is None else CHARACTERS_MAX):
        raise InvalidMultibase(f"{len(digits)} characters of {base.name} are too many")
    if bits is None:
        return _decode_number(base, digits)
    return _decode_bits(base, bits, digits)


def _encode_number(base: Base, content: bytes) -> str:
    zeros = len(content) - len(content.lstrip(b"\0"))
    number, size = int.from_bytes(content, "big"), len(base.alphabet)
    limb = size**_LIMB_DIGITS
    digits: list[str] = []
    while number:
        number, held = divmod(number, limb)
        for _ in range(_LIMB_DIGITS):
            held, digit = divmod(held, size)
            digits.append(base.alphabet[digit])
    return base.alphabet[0] * zeros + "".join(reversed(digits)).lstrip(base.alphabet[0])


def _decode_number(base: Base, digits: str) -> bytes:
    values, size, number = _VALUES[base.name], len(base.alphabet), 0
    for start in range(0, len(digits), _LIMB_DIGITS):
        limb = digits[start : start + _LIMB_DIGITS]
        held = 0
        for character in limb:
            value = values.get(character)
            if value is None:
                raise InvalidMultibase(f"{character!r} is not in {base.name}")
            held = held * size + value
        number = number * size ** len(limb) + held
    zeros = len(digits) - len(digits.lstrip(base.alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _encode_bits(base: Base, bits: int, content: bytes) -> str:
    if bits == 6:
        written = base64.b64encode(content, _alternatives(base)).decode()
        return written if base.is_padded else written.rstrip("=")
    mask, held, held_bits = len(base.alphabet) - 1, 0, 0
    digits: list[str] = []
    for byte in content:
        held = held << 8 | byte
        held_bits += 8
        while held_bits >= bits:
            held_bits -= bits
            digits.append(base.alphabet[held >> held_bits & mask])
        held &= (1 << held_bits) - 1
    if held_bits:
        digits.append(base.alphabet[held << (bits - held_bits) & mask])
    if base.is_padded:
        digits.extend("=" * (-len(digits) % _group(bits)))
    return "".join(digits)


def _decode_bits(base: Base, bits: int, digits: str) -> bytes:
    if base.is_padded:
        stripped = digits.rstrip("=")
        if len(digits) % _group(bits) or len(digits) - len(stripped) != -len(stripped) % _group(bits):
            raise InvalidMultibase(f"{base.name} is filled up with = to whole groups")
        digits = stripped
    if bits == 6:
        return _decode_base64(base, digits)
    values, held, held_bits = _VALUES[base.name], 0, 0
    content = bytearray()
    for character in digits:
        value = values.get(character)
        if value is None:
            raise InvalidMultibase(f"{character!r} is not in {base.name}")
        held = held << bits | value
        held_bits += bits
        if held_bits >= 8:
            held_bits -= 8
            content.append(held >> held_bits)
            held &= (1 << held_bits) - 1
    if held or held_bits >= bits:
        raise InvalidMultibase(f"{base.name} ends with bits that belong to no byte")
    return bytes(content)


def _alternatives(base: Base) -> bytes:
    return base.alphabet[62:].encode()


def _decode_base64(base: Base, digits: str) -> bytes:
    """As the loop does it, by the standard library: status lists have millions of characters."""
    try:
        content = base64.b64decode(digits + "=" * (-len(digits) % 4), _alternatives(base), validate=True)
    except ValueError:
        raise InvalidMultibase(f"no {base.name}") from None
    if base64.b64encode(content, _alternatives(base)).decode().rstrip("=") != digits:
        raise InvalidMultibase(f"{base.name} of another alphabet, or with bits that belong to no byte")
    return content


def _group(bits: int) -> int:
    """Characters of a whole group: as many as fill whole bytes."""
    return 8 if bits == 5 else 4
