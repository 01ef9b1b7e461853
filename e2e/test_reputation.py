"""Reputation on the running platform: who the seeds are, what the ledger keeps, and refusals."""

from __future__ import annotations

from typing import Any


def test_founders_are_the_seeds_and_the_ledgers_integers_stand_beside_their_scores(
    answer: Any, federation: Any
) -> None:
    principal = federation.founders[0].founder.principal
    shown = answer("reputation", "show", principal.hex())
    assert [score["dimension"] for score in shown["scores"]] == ["delivery", "payment"]
    for score in shown["scores"]:
        parts = score["parts"]
        total = sum(int(parts[name]) for name in ("seed_nano", "returned_nano", "rest_nano"))
        total += sum(int(one["amount_nano"]) for one in parts["contributions"])
        assert total == int(score["score_nano"]) > 0
        assert principal.hex() in score["seeds"]
    unit = answer("unit", "create", "KNOWN", "--as", "bakery")["unit"]
    account = answer("account", "open", "--unit", unit, "--as", "bakery")["account"]
    again = answer("reputation", "show", principal.hex(), "--dimension", "delivery")
    assert [score["dimension"] for score in again["scores"]] == ["delivery"]
    (opened,) = [one for one in again["reciprocities"] if one["account"] == account]
    assert (opened["given_minor"], opened["received_minor"], opened["balance_minor"]) == ("0", "0", "0")


def test_somebody_nobody_knows_has_no_score_and_a_wrong_dimension_is_refused(
    icn: Any, answer: Any, federation: Any
) -> None:
    assert answer("reputation", "show", "0" * 32)["scores"] == []
    data = ("--data", str(federation.directory))
    unknown = icn("reputation", "show", "0" * 32, "--dimension", "delivery", *data)
    assert (unknown.returncode, "SCORE_UNKNOWN" in unknown.stderr) == (1, True)
    wrong = icn("reputation", "show", "0" * 32, "--dimension", "fame", *data)
    assert (wrong.returncode, "DIMENSION_UNKNOWN" in wrong.stderr) == (1, True)
    assert icn("reputation", "show", "nobody", *data).returncode == 2
