"""Story operate: what members hold after the install outlives what the steps between do to the release."""

from __future__ import annotations

import json
from typing import Any

from scripts.cluster_test.release import Cluster, Failed

PAYER, PAYEE = "sunrise-bakery", "harvest-farm"
PAID = 25
HELD = "operate.json"
"""What was held, and where its proof is."""
PROOF = "operate-proof.json"
LIMIT = "CREDIT_LIMIT_EXCEEDED"


def begin(cluster: Cluster) -> None:
    """A payment, and a proof of it that somebody keeps elsewhere."""
    unit = cluster.icn("unit", "create", "OPERATE", "--as", PAYER, "--scale", "0", f"--floor=-{PAID}")["unit"]
    payer, payee = (
        cluster.icn("account", "open", "--unit", unit, "--as", name)["account"] for name in (PAYER, PAYEE)
    )
    paid = cluster.icn("pay", payee, str(PAID), "--from", payer, "--as", PAYER)
    cluster.icn_text("proof", "fetch", f"accounts/{payee}", "--out", str(cluster.work / PROOF))
    held = {"payer": payer, "payee": payee, "height": paid["height"]}
    (cluster.work / HELD).write_text(json.dumps(held), "utf-8")


def end(cluster: Cluster) -> None:
    """After kill, upgrade, activation and restore: the same balances, the old proof, and a new one."""
    try:
        held = json.loads((cluster.work / HELD).read_text("utf-8"))
    except FileNotFoundError:
        raise Failed("the story has no beginning: the step `paid` was not run in this folder") from None
    kept = verified(cluster, PROOF)
    payee = held["payee"]
    cluster.icn_text("proof", "fetch", f"accounts/{payee}", "--out", str(cluster.work / f"new-{PROOF}"))
    anew = verified(cluster, f"new-{PROOF}")
    balances = [cluster.icn("account", "show", held[name])["balance_minor"] for name in ("payer", "payee")]
    refused = more_than_allowed(cluster, held)
    proven = [one["statement"]["balance_minor"] for one in (kept, anew)]
    cluster.note(
        f"story operate: {PAID} paid at height {held['height']}, now at the end of install, kill, upgrade, "
        "activation and restore",
        "the same balances, limit, and proof",
        f"balances {balances[0]}, {balances[1]}; proofs of then and now: {proven[0]}, {proven[1]}; "
        f"epochs proven {kept['epochs']}, {anew['epochs']}; {refused}",
        balances == [f"-{PAID}", f"{PAID}"] and proven == [f"{PAID}"] * 2 and refused == LIMIT,
    )


def verified(cluster: Cluster, proof: str) -> Any:
    """What a proof says, by the genesis file alone."""
    genesis = ("--genesis", str(cluster.federation / "genesis.json"))
    return json.loads(cluster.icn_text("proof", "verify", str(cluster.work / proof), *genesis))


def more_than_allowed(cluster: Cluster, held: dict[str, Any]) -> str:
    """Why the payer, who stands at its limit, cannot pay more."""
    try:
        cluster.icn("pay", held["payee"], "1", "--from", held["payer"], "--as", PAYER)
    except Failed as failed:
        return LIMIT if LIMIT in str(failed) else str(failed)[-200:]
    return "it can pay more than its limit"
