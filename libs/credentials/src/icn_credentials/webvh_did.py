"""The identifier of did:webvh: self-certifying identifier, host and path, and where its log is published.

Source: did:webvh 1.0, "Method-Specific Identifier" and "The DID to HTTPS Transformation".
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, unquote

from icn_credentials.faults import InvalidDid
from icn_credentials.multihash import is_base58_sha256

PREFIX: Final = "did:webvh:"
SCID_PLACEHOLDER: Final = "{SCID}"
CHARACTERS_MAX: Final = 1_024
SEGMENTS_MAX: Final = 16
LOG_FILE: Final = "did.jsonl"

_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=@-]+|[A-Za-z0-9._~!$&'()*+,;=@%-]+")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class WebvhDid:
    """A did:webvh, taken apart."""

    scid: str
    host: str
    """Lower case, punycode for international names."""
    port: int | None
    path: tuple[str, ...]

    def __str__(self) -> str:
        """The DID."""
        return PREFIX + ":".join((self.scid, self.domain_segment(), *self.path))

    def domain_segment(self) -> str:
        """Host and port as they stand in the DID."""
        return self.host if self.port is None else f"{self.host}%3A{self.port}"

    def log_url(self) -> str:
        """Where the log is published."""
        host = self.host if self.port is None else f"{self.host}:{self.port}"
        path = "/".join(quote(unquote(segment), safe="") for segment in self.path) or ".well-known"
        return f"https://{host}/{path}/{LOG_FILE}"


def read(did: str, *, is_template: bool = False) -> WebvhDid:
    """The parts of a did:webvh.

    Args:
        did: without path, query or fragment.
        is_template: the self-certifying identifier is still its placeholder.

    Raises:
        InvalidDid: another method, no such identifier, a host that is an address or no name, or a path that
            would leave its place.
    """
    if not did.startswith(PREFIX) or len(did) > CHARACTERS_MAX:
        raise InvalidDid("not a did:webvh of a size that is read")
    scid, *rest = did.removeprefix(PREFIX).split(":")
    if not (scid == SCID_PLACEHOLDER if is_template else is_base58_sha256(scid)):
        raise InvalidDid("a did:webvh begins with its self-certifying identifier, a SHA-256 in base58btc")
    if not 1 <= len(rest) <= SEGMENTS_MAX:
        raise InvalidDid(f"a did:webvh names a host and at most {SEGMENTS_MAX - 1} path segments")
    host, port = _read_domain(rest[0], scid)
    for segment in rest[1:]:
        decoded = unquote(segment)
        if not _SEGMENT.fullmatch(segment.replace(SCID_PLACEHOLDER, "")) and segment != SCID_PLACEHOLDER:
            raise InvalidDid(f"{segment[:80]!r} is no path segment")
        if decoded in (".", "..") or set(decoded) & set("/\\?#%\0") or not decoded.isprintable():
            raise InvalidDid(f"{segment[:80]!r} would lead out of its path")
    return WebvhDid(scid, host, port, tuple(rest[1:]))


def _read_domain(segment: str, scid: str) -> tuple[str, int | None]:
    host, separator, port = segment.partition("%3A")
    name = host.replace(SCID_PLACEHOLDER, "x") if scid == SCID_PLACEHOLDER else host
    if separator and (not _PORT.fullmatch(port) or int(port) > 65_535):
        raise InvalidDid(f"{port[:20]!r} is no port")
    try:
        encoded = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        raise InvalidDid(f"{name[:80]!r} is no name of a host") from None
    if len(encoded) > 253 or not _HOST.fullmatch(encoded.lower()):
        raise InvalidDid(f"{name[:80]!r} is no name of a host")
    if _is_address(encoded):
        raise InvalidDid("a did:webvh names a host, not an address")
    return host, int(port) if separator else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host.rpartition(".")[2].isdigit()  # 127.1 and 2130706433 reach an address as well
    return True
