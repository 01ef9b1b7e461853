"""Bitstring status lists: one bit (or a few) per credential, compressed.

Source: W3C Bitstring Status List 1.0.
"""

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_credentials import json_forms, multibase
from icn_credentials.faults import CredentialFault, InvalidStatusList
from icn_credentials.json_forms import JsonObject

ENTRIES_MIN: Final = 131_072
"""The specification's least, so that an index says little."""
LIST_BYTES_MAX: Final = 4_194_304
"""33 million entries; bounds what a compressed list may unfold to."""
ENCODED_CHARACTERS_MAX: Final = 6_000_000
STATUS_BITS_MAX: Final = 8
PURPOSES_MAX: Final = 16

REVOCATION: Final = "revocation"
SUSPENSION: Final = "suspension"
CREDENTIAL_TYPE: Final = "BitstringStatusListCredential"
LIST_TYPE: Final = "BitstringStatusList"
ENTRY_TYPE: Final = "BitstringStatusListEntry"


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """Where a credential's status stands."""

    list_url: str
    index: int
    purpose: str
    bits: int = 1


@dataclass(frozen=True, slots=True)
class StatusList:
    """The content of a list credential."""

    purposes: tuple[str, ...]
    bits: bytes

    def status(self, entry: StatusEntry) -> int:
        """The status at an entry; zero where nothing is set.

        Raises:
            InvalidStatusList: the list is for other purposes, or too short.
        """
        if entry.purpose not in self.purposes:
            raise InvalidStatusList(f"the list is for {', '.join(self.purposes)}, not {entry.purpose}")
        return read_bits(self.bits, entry.index, entry.bits)


def read_bits(content: bytes, index: int, bits: int = 1) -> int:
    """The status at an index; index 0 is the left-most bit.

    Raises:
        InvalidStatusList: the list is shorter.
    """
    start = index * bits
    if index < 0 or start + bits > 8 * len(content):
        raise InvalidStatusList(f"index {index} is not in a list of {8 * len(content) // bits}")
    found = 0
    for place in range(start, start + bits):
        found = found << 1 | content[place // 8] >> (7 - place % 8) & 1
    return found


def with_bits_set(content: bytes, indices: Iterable[int]) -> bytes:
    """A list of single bits with these set.

    Raises:
        InvalidStatusList: an index is not in the list.
    """
    changed = bytearray(content)
    for index in indices:
        read_bits(content, index)
        changed[index // 8] |= 0x80 >> index % 8
    return bytes(changed)


def empty(entries: int = ENTRIES_MIN) -> bytes:
    """A list of single bits, none set."""
    assert entries >= ENTRIES_MIN and entries % 8 == 0, "a list has whole bytes and the least length"
    return bytes(entries // 8)


def encode(content: bytes) -> str:
    """``encodedList``. The same content always gives the same text."""
    return multibase.encode(multibase.BASE64URL, gzip.compress(content, mtime=0))


def decode(encoded: str) -> bytes:
    """The bits of an ``encodedList``, with or without its multibase prefix.

    Raises:
        InvalidStatusList: not base64url of gzip, cut short, with something after it, or larger than is read.
    """
    if len(encoded) > ENCODED_CHARACTERS_MAX:
        raise InvalidStatusList(f"an encodedList has at most {ENCODED_CHARACTERS_MAX} characters")
    # Lists from before the specification was final lack the prefix; gzip then begins with H4s.
    digits = encoded[1:] if encoded.startswith("u") else encoded
    try:
        compressed = multibase.decode_digits(multibase.BASE64URL, digits.rstrip("="))
    except CredentialFault as error:
        raise InvalidStatusList(f"encodedList: {error}") from None
    reader = zlib.decompressobj(wbits=31)
    try:
        content = reader.decompress(compressed, LIST_BYTES_MAX + 1)
    except zlib.error:
        raise InvalidStatusList("encodedList is not gzip") from None
    if len(content) > LIST_BYTES_MAX:
        raise InvalidStatusList(f"the list unfolds to more than {LIST_BYTES_MAX} bytes")
    if not reader.eof or reader.unused_data:
        raise InvalidStatusList("encodedList is cut short or has something after its end")
    return content


def list_subject(list_url: str, purposes: Iterable[str], content: bytes) -> JsonObject:
    """``credentialSubject`` of a list credential."""
    named: list[JsonValue] = list(purposes)
    return {
        "id": f"{list_url}#list",
        "type": LIST_TYPE,
        "statusPurpose": named if len(named) > 1 else named[0],
        "encodedList": encode(content),
    }


def read_list(credential: JsonObject) -> StatusList:
    """The list of a list credential, whose proofs the caller has verified.

    Raises:
        InvalidStatusList: it is no list credential, or its list cannot be read.
    """
    if CREDENTIAL_TYPE not in json_forms.texts(credential.get("type", []), "type", InvalidStatusList):
        raise InvalidStatusList(f"the credential is no {CREDENTIAL_TYPE}")
    subject = credential.get("credentialSubject")
    if not isinstance(subject, dict) or subject.get("type") != LIST_TYPE:
        raise InvalidStatusList(f"credentialSubject is no {LIST_TYPE}")
    purposes = json_forms.texts(
        subject.get("statusPurpose", []), "statusPurpose", InvalidStatusList, PURPOSES_MAX
    )
    if not purposes:
        raise InvalidStatusList("statusPurpose: a string is expected")
    content = decode(json_forms.text(subject, "encodedList", InvalidStatusList))
    if 8 * len(content) < ENTRIES_MIN:
        raise InvalidStatusList(f"a list has at least {ENTRIES_MIN} entries, not {8 * len(content)}")
    return StatusList(tuple(purposes), content)


def status_entries(credential: JsonObject) -> list[StatusEntry]:
    """The entries of a credential's ``credentialStatus``.

    Raises:
        InvalidStatusList: one has not its form, or is of another kind.
    """
    if "credentialStatus" not in credential:
        return []
    forms = json_forms.objects(
        credential["credentialStatus"], "credentialStatus", InvalidStatusList, PURPOSES_MAX
    )
    return [_entry(form) for form in forms]


def _entry(form: JsonObject) -> StatusEntry:
    if form.get("type") != ENTRY_TYPE:
        raise InvalidStatusList(f"credentialStatus of type {str(form.get('type'))[:80]!r} is not read")
    index = form.get("statusListIndex")
    number = (
        int(index)
        if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 12
        else -1
    )
    if number < 0 or str(number) != index:
        raise InvalidStatusList("statusListIndex: a whole number as a string is expected")
    bits = form.get("statusSize", 1)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= STATUS_BITS_MAX:
        raise InvalidStatusList(f"statusSize: a whole number from 1 to {STATUS_BITS_MAX} is expected")
    url = json_forms.text(form, "statusListCredential", InvalidStatusList)
    return StatusEntry(url, number, json_forms.text(form, "statusPurpose", InvalidStatusList), bits)
