"""Seats for the epochs to come: keys are made, offered and named by the zone's authority, for all to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_the_zone_names_other_keys_for_a_seat_and_one_seat_of_four_is_enough_for_an_epoch(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    network, data = federation.network, ("--data", str(federation.directory))
    seats = [seat.organization.hex() for seat in network.genesis.validators]
    before = answer("validators", "show")
    assert before["in_force"] == before["next"]
    assert [seat["organization"] for seat in before["next"]["seats"]] == seats
    assert (before["since_epoch"], before["seats_changed"], before["seats_changed_max"]) == ("0", 0, 1)
    inspected = answer("validators", "inspect", "1")
    assert (inspected["seat"], inspected["epoch"]) == (1, "0")
    assert [(peer["seat"], peer["state"]) for peer in inspected["peers"]] == [(0, "ok"), (2, "ok"), (3, "ok")]
    shown = icn("validators", "inspect", "1", *data)
    assert shown.returncode == 0 and "clients wait for 0" in shown.stdout, shown.stderr
    assert icn("validators", "inspect", "4", *data).returncode == 2
    offers = []
    for seat in (1, 2):
        made = icn("validators", "key", "new", "--for", seats[seat], "--out", f"key-{seat}.json", *data)
        assert made.returncode == 0, made.stderr
        offers.append(f"offer-{seat}.json")
        (tmp_path / offers[-1]).write_text(made.stdout)
    removed = icn("validators", "change", "--remove", seats[3], *data)
    assert (removed.returncode, "SEATS_OUT_OF_RANGE" in removed.stderr) == (1, True), removed.stderr
    changed = answer("validators", "change", "--replace", f"{seats[1]}={tmp_path / offers[0]}")
    assert changed["seats_changed"] == 1
    after = answer("validators", "show")
    assert after["in_force"] == before["in_force"] and after["next"]["hash"] == changed["next"]
    offered = json.loads((tmp_path / offers[0]).read_text())
    assert after["next"]["seats"][1] == {
        "organization": seats[1],
        "public_keys": offered["public_keys"],
    }
    assert "1 of at most 1 seats changed" in icn("validators", "show", *data).stdout
    (third,) = [one for one in federation.founders if one.founder.principal.hex() == seats[2]]
    name = third.founder.name.lower()
    for as_name, offer, reason in (
        (name, offers[1], "SEATS_CHANGED_TOO_MANY"),
        (name, offers[0], "OFFER_OF_ANOTHER"),
    ):
        refused = icn("validators", "rekey", "--as", as_name, "--offer", str(tmp_path / offer), *data)
        said = refused.stderr
        assert refused.returncode == 1 and (reason in said or "is for" in said), said
    saved = tmp_path / "validators.json"
    fetched = icn("proof", "fetch", "validators/zone", "--out", str(saved), *data)
    assert fetched.returncode == 0, fetched.stderr
    verified = json.loads(icn("proof", "verify", str(saved), "--genesis", str(network.genesis_path)).stdout)
    assert verified["valid"] and verified["statement"]["kind"] == "validators"
