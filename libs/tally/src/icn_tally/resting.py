"""Work that makes many objects and no cycles among them, without the garbage collector going through them
over and over: that was more than half of the time of a count of 100,000 ballots by Meek."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """The collector of cycles waits until the work is done; also a decorator. Where it rests already, it
    stays so. Other threads make do without it meanwhile; what has no cycles is freed as ever."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
