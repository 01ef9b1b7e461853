from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_gateway.domain.rate_limit import RateLimit, client_address, client_key


def test_a_full_bucket_gives_its_burst_and_then_makes_wait() -> None:
    limit = RateLimit(per_second=10, burst=3)
    assert [limit.take("192.0.2.1", now=0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limit.take("192.0.2.1", now=0.0) == pytest.approx(0.1)


def test_a_token_comes_back_exactly_when_it_was_promised() -> None:
    limit = RateLimit(per_second=4, burst=1)
    limit.take("192.0.2.1", now=0.0)
    assert limit.take("192.0.2.1", now=0.2) > 0
    assert limit.take("192.0.2.1", now=0.25) == 0.0


def test_one_address_cannot_use_up_anothers_tokens() -> None:
    limit = RateLimit(per_second=1, burst=1)
    limit.take("192.0.2.1", now=0.0)
    assert limit.take("192.0.2.1", now=0.0) > 0
    assert limit.take("192.0.2.2", now=0.0) == 0.0


def test_the_table_forgets_whoever_it_heard_of_longest_ago_instead_of_growing() -> None:
    limit = RateLimit(per_second=1, burst=1, addresses_max=2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        limit.take(address, now=0.0)
    assert len(limit) == 2
    assert limit.take("192.0.2.1", now=0.0) > 0, "it was heard of more recently than the one forgotten"
    assert limit.take("192.0.2.2", now=0.0) == 0.0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_no_order_of_requests_gets_more_than_burst_and_rate_allow(times: list[float]) -> None:
    limit = RateLimit(per_second=5, burst=7)
    granted = sum(limit.take("192.0.2.1", now=moment) == 0.0 for moment in sorted(times))
    assert granted <= 7 + 5 * (max(times) - min(times)) + 1e-6


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    limit = RateLimit(per_second=1, burst=1)
    assert limit.take("192.0.2.1", now=100.0) == 0.0
    assert limit.take("192.0.2.1", now=50.0) > 0
    assert limit.take("192.0.2.1", now=50.5) > 0


def test_addresses_of_one_ipv6_site_count_as_one() -> None:
    assert client_key("2001:db8:1:2::1") == client_key("2001:db8:1:2:ffff::9")
    assert client_key("2001:db8:1:2::1") != client_key("2001:db8:1:3::1")


def test_an_ipv4_address_written_as_ipv6_is_the_same_client() -> None:
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1")


def test_what_is_no_address_is_still_counted_and_bounded() -> None:
    assert client_key("x" * 10_000) == "x" * 64


@pytest.mark.parametrize(
    ("forwarded_for", "hops", "address"),
    [
        ("203.0.113.9", 0, "192.0.2.1"),
        ("", 1, "192.0.2.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9", 2, "198.51.100.7"),
        ("203.0.113.9", 3, "203.0.113.9"),
        ("203.0.113.9, ", 1, "192.0.2.1"),
    ],
)
def test_only_as_many_forwarded_addresses_are_believed_as_we_have_proxies(
    forwarded_for: str, hops: int, address: str
) -> None:
    assert client_address("192.0.2.1", forwarded_for, hops) == address
