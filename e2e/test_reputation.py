"""Reputation on the running platform: seeds, evidence of what was traded, what the ledger keeps, refusals."""

from __future__ import annotations

from typing import Any

from e2e.waiting import until


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


def test_a_settled_sale_and_a_broken_word_become_evidence_although_reputation_is_killed(
    answer: Any, federation: Any
) -> None:
    housing, workshop = (federation.founders[number].founder.principal.hex() for number in (1, 3))
    unit = answer("unit", "create", "PAINT", "--scale", "0", "--floor", "-1000", "--as", "housing")["unit"]
    account = answer("account", "open", "--unit", unit, "--as", "housing")["account"]
    answer("account", "open", "--unit", unit, "--as", "workshop")
    publish = ("offer", "publish", "--kind", "paint", "--measure", "litre", "--price", "10")
    mine = ("--account", account, "--as", "housing")
    before = answer("reputation", "show", housing, "--dimension", "delivery")["scores"][0]

    sold = answer(*publish, "--title", "White", "--quantity", "9", *mine)
    kept = answer("offer", "accept", sold["name"], "9", "--as", "workshop")["name"]
    answer("agreement", "deliver", kept, "--as", "housing")
    federation.hold("reputation")
    answer("agreement", "confirm", kept, "--as", "workshop")
    answer("agreement", "settle", kept, "--as", "housing")
    until(lambda: answer("agreement", "show", kept)["state"], lambda state: state == "settled")
    federation.release("reputation")

    def by_workshop(dimension: str = "delivery", of: str = housing, by: str = workshop) -> Any:
        (score,) = answer("reputation", "show", of, "--dimension", dimension)["scores"]
        found = [one for one in score["parts"]["contributions"] if one["principal"] == by]
        return (score, found[0]) if found else None

    after, part = until(by_workshop, lambda found: found is not None)
    assert (part["trust"], [piece["kind"] for piece in part["evidence"]]) == ("90", ["fulfilled"])
    assert int(after["score_nano"]) > int(before["score_nano"])
    delivery = answer("agreement", "show", kept)["commitments"][0]
    assert part["evidence"][0]["source"] == f"commitments/{delivery['name'].rpartition('/')[2]}"
    _, paid = until(lambda: by_workshop("payment", workshop, housing), lambda found: found is not None)
    assert paid["trust"] == "90"

    late = answer(*publish, "--title", "Red", "--quantity", "4", "--within", "3s", *mine)
    broken = answer("offer", "accept", late["name"], "4", "--within", "8s", "--as", "workshop")["name"]
    federation.kill_process("reputation")
    until(lambda: answer("agreement", "show", broken)["state"], lambda state: state == "failed")
    _, part = until(by_workshop, lambda found: found[1]["trust"] == "50")
    assert [(piece["kind"], piece["weight"]) for piece in part["evidence"]] == [
        ("fulfilled", "90"),
        ("failed", "40"),
    ]
    shown = {one["account"]: one for one in answer("reputation", "show", housing)["reciprocities"]}
    assert (shown[account]["given_minor"], shown[account]["received_minor"]) == ("0", "90")
