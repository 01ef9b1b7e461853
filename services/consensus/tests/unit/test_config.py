from __future__ import annotations

from dataclasses import replace

from .test_recover import CONFIG


def test_metrics_call_a_validator_by_its_seat_at_genesis_and_who_has_none_by_its_key() -> None:
    seated = replace(CONFIG, public_key=CONFIG.validators.public_keys[2])
    assert seated.label == "2"
    assert replace(CONFIG, public_key=b"\xab" * 32).label == "abababab"
