from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.trace import Trace, begin_trace, current_trace, parse_traceparent, trace_metadata

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_a_trace_is_continued_with_a_span_of_our_own(flags: str, is_sampled: bool) -> None:
    trace = parse_traceparent(f"00-{TRACE_ID}-{PARENT_ID}-{flags}")
    assert (trace.trace_id, trace.parent_span_id, trace.is_sampled) == (TRACE_ID, PARENT_ID, is_sampled)
    assert trace.traceparent == f"00-{TRACE_ID}-{trace.span_id}-{'01' if is_sampled else '00'}"
    assert trace.span_id not in (PARENT_ID, "0" * 16)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        f"01-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01\n",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
    ],
)
def test_what_is_no_traceparent_starts_an_unsampled_trace(value: str | None) -> None:
    trace = parse_traceparent(value)
    assert trace.trace_id not in (TRACE_ID, "0" * 32)
    assert len(trace.trace_id) == 32
    assert not trace.is_sampled


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_ratio_decides_for_traces_that_begin_here_alone(ratio: float) -> None:
    assert begin_trace(None, ratio).is_sampled == begin_trace("nonsense", ratio).is_sampled == bool(ratio)
    for flags, is_sampled in (("00", False), ("01", True)):
        continued = begin_trace(f"00-{TRACE_ID}-{PARENT_ID}-{flags}", ratio)
        assert (continued.trace_id, continued.is_sampled) == (TRACE_ID, is_sampled)


def test_one_in_ten_is_about_one_in_ten() -> None:
    sampled = sum(begin_trace(None, 0.1).is_sampled for _ in range(10_000))
    assert 700 < sampled < 1_300  # ten standard deviations


@given(st.binary(max_size=100))
def test_no_bytes_of_a_header_are_too_odd(value: bytes) -> None:
    assert not parse_traceparent(value).is_sampled


def test_a_trace_keeps_its_ids_and_differs_from_the_next() -> None:
    trace = Trace()
    assert trace.traceparent == trace.traceparent
    assert trace.trace_id != Trace().trace_id


def test_metadata_carries_the_current_trace_if_there_is_one() -> None:
    assert trace_metadata() == ()
    token = current_trace.set(Trace(TRACE_ID))
    try:
        ((name, value),) = trace_metadata()
    finally:
        current_trace.reset(token)
    assert name == "traceparent"
    assert value.startswith(f"00-{TRACE_ID}-")
