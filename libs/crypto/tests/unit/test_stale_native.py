"""An accelerator that was built from other sources is not used."""

import sys
from types import ModuleType

import pytest
from icn_crypto.native import INTERFACE, load


@pytest.mark.parametrize("interface", [None, INTERFACE - 1, INTERFACE + 1])
def test_a_stale_accelerator_is_left_alone_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch, interface: int | None
) -> None:
    stale = ModuleType("icn_native")
    if interface is not None:
        stale.INTERFACE = interface  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "icn_native", stale)
    with pytest.warns(UserWarning, match="make native"):
        assert load() is None


def test_an_accelerator_of_this_interface_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = ModuleType("icn_native")
    fitting.INTERFACE = INTERFACE  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "icn_native", fitting)
    assert load() is fitting
