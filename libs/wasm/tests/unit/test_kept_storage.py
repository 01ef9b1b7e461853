"""Storage in memory against a model: sorted, bounded, descending, changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from icn_wasm.kept_storage import KeptStorage
from icn_wasm.storage import Write

keys = st.binary(min_size=1, max_size=3)
values = st.binary(min_size=1, max_size=2)


@given(
    st.dictionaries(keys, values),
    st.lists(st.tuples(keys, st.none() | values)),
    st.none() | keys,
    st.none() | keys,
    st.booleans(),
)
def test_it_is_a_sorted_dictionary(
    entries: dict[bytes, bytes],
    writes: list[tuple[bytes, bytes | None]],
    start: bytes | None,
    end: bytes | None,
    is_descending: bool,
) -> None:
    storage = KeptStorage(entries)
    storage.apply([Write(key, value) for key, value in writes])
    model = dict(entries)
    for key, value in writes:
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value
    expected = [
        pair
        for pair in sorted(model.items(), reverse=is_descending)
        if (start is None or pair[0] >= start) and (end is None or pair[0] < end)
    ]
    assert list(storage.scan(start, end, is_descending)) == expected
    assert len(storage) == len(model)
    assert all(storage.get(key) == value for key, value in model.items())
    assert storage.get(b"never") is None
