"""How often one client address may ask: a token bucket each, in a table that cannot grow without end."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

REQUESTS_PER_SECOND = 200.0
"""A page with its live view asks about once a second; a cooperative's office shares one address."""
REQUESTS_BURST = 1_000.0
SIGN_INS_PER_SECOND = 2.0
SIGN_INS_BURST = 40.0
"""An office that signs in at once after a restart; a code of 60 bits is not guessed at this speed."""
ADDRESSES_MAX = 10_000
"""About 2 MB of buckets. Beyond it the address heard of longest ago is forgotten, and so gets a full
bucket."""
IPV6_SITE_BITS = 64
"""What one IPv6 customer gets at least: addresses within it cost nothing (RFC 6177)."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """Token buckets by client address.

    Args:
        per_second: tokens that come back.
        burst: tokens of a full bucket.
        addresses_max: buckets kept.
    """

    def __init__(
        self,
        per_second: float = REQUESTS_PER_SECOND,
        burst: float = REQUESTS_BURST,
        addresses_max: int = ADDRESSES_MAX,
    ) -> None:
        assert per_second > 0 and burst >= 1 and addresses_max > 0, "settings are checked when they are read"
        self._per_second = per_second
        self._burst = burst
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """Take one token for ``address``; 0.0 when there was one, else the seconds until there will be.

        Args:
            now: monotonic seconds.
        """
        key = client_key(address)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._addresses_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            elapsed = max(0.0, now - bucket.filled_at)
            bucket.tokens = min(self._burst, bucket.tokens + elapsed * self._per_second)
            bucket.filled_at = now
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return 0.0
        return (1.0 - bucket.tokens) / self._per_second

    def __len__(self) -> int:
        return len(self._buckets)


def client_key(address: str) -> str:
    """What an address is counted under: itself, its /64 for IPv6, the text as it is if it is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{int(parsed) >> (128 - IPV6_SITE_BITS):x}::/{IPV6_SITE_BITS}"
    return str(parsed)


def client_address(peer: str, forwarded_for: str, trusted_hops: int) -> str:
    """The address to count a request under.

    Args:
        peer: the other end of the connection.
        forwarded_for: the X-Forwarded-For header, empty when absent.
        trusted_hops: how many proxies of ours stand in front, each of which appends the address it saw. Only
            that many entries, from the right, are believed.
    """
    if trusted_hops <= 0 or not forwarded_for:
        return peer
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    return hops[-min(trusted_hops, len(hops))] or peer
