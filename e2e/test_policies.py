"""A unit with rules of its own, from opening balances to closed books, by the commands that people type.

HOUR is governed by a federation, whose members decide; KILO by the bakery itself.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from icn_chain.trial_balance import trial_balance_digest
from icn_client.acting import actor_of, now_ms, perform
from icn_client.connection import Connection, NetworkFile
from icn_client.decisions import build_decision, countersign, enact_decision
from icn_client.light.leaves import describe
from icn_client.platforms import open_founders
from icn_client.submitter import Submitter
from icn_tally.polls.actions import describe_action, read_actions
from icn_tally.polls.documents import DecisionText

from e2e.waiting import until

FOUNDERS = ("bakery", "farm", "workshop", "housing")
TRADERS = FOUNDERS[1:]
SEATS = 4


class Cooperation:
    """The founders, who run commands, and what their federation decides."""

    def __init__(self, icn: Any, federation: Any) -> None:
        self._icn = icn
        self.directory = federation.directory
        self.identities = {one.name: one for one in open_founders(federation.directory)}
        self.hour: dict[str, str] = {}
        """Accounts by owner."""
        self.kilo: dict[str, str] = {}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self._icn(
            *arguments, "--data", str(self.directory), **variables
        )
        return done

    def answer(self, *arguments: str, **variables: str) -> Any:
        done = self.run(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, **variables: str) -> str:
        """What a command says that is refused."""
        done = self.run(*arguments, "--json", **variables)
        assert (done.returncode, done.stdout) == (1, ""), done
        return done.stderr

    def lines(self, *arguments: str) -> list[Any]:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def account(self, name: str) -> Any:
        """Leaf and credit of an account in HOUR, as `icn account show` reads them."""

        async def read(connection: Connection) -> dict[str, Any]:
            found = await connection.account_with_credit(bytes.fromhex(self.hour[name]))
            leaf = found.account.leaf
            return {**describe(leaf.terms), **describe(leaf), **describe(found.credit)}

        return self.on_chain(read)

    def pay(self, source: str, destination: str, amount: str) -> Any:
        return self.answer("pay", self.hour[destination], amount, "--from", self.hour[source], "--as", source)

    def on_chain(self, work: Callable[[Connection], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with Connection(NetworkFile.load(self.directory)) as connection:
                return await work(connection)

        return asyncio.run(run())

    def decide(self, authority: str, *arguments: str) -> str:
        """What a command prints with --action, countersigned by three of four members and enacted; the action
        in words."""
        actions = read_actions(self.answer(*arguments, "--action"), "actions")
        told = describe_action(actions[0])

        async def enact(connection: Connection) -> None:
            genesis_hash, federation = connection.genesis.hash, bytes.fromhex(authority)
            text = DecisionText(federation, "Books", f"{told}, as the meeting said")
            body = build_decision(
                authority=federation,
                subject=text.digest(genesis_hash),
                expire_time_ms=now_ms() + 3_600_000,
                actions=actions,
            )
            signers = list(self.identities.values())[:3]
            signed = [countersign(genesis_hash, body, one.principal, one.keys[0]) for one in signers]
            actor = await actor_of(connection, signers[0])
            async with Submitter(connection.doors()) as submitter:
                await perform(submitter, actor, [enact_decision(body, signed)])

        self.on_chain(enact)
        return told


@pytest.fixture
def coop(icn: Any, federation: Any) -> Cooperation:
    return Cooperation(icn, federation)


def iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def set_up(coop: Cooperation) -> tuple[str, str, str]:
    """Federation and both units; members begin with what they owed each other in the old books."""
    founders = (part for name in FOUNDERS for part in ("--founder", name))
    authority = coop.answer("federation", "found", "Valley books", *founders)["federation"]
    named = ("--authority", f"authorities/{authority}")
    hour = coop.answer("unit", "create", "HOUR", "--floor", "-100", *named, "--as", "bakery")["unit"]
    kilo = coop.answer("unit", "create", "KILO", "--scale", "0", "--floor", "-50", "--as", "bakery")["unit"]
    coop.hour["fund"] = coop.answer("account", "open", "--unit", hour, "--as", "bakery")["account"]
    coop.answer("account", "pledge", coop.hour["fund"], "50", "--as", "bakery")
    for name, brings in zip(TRADERS, ("-30", "20", "10"), strict=True):
        opening = coop.answer("account", "open", "--unit", hour, "--brings", brings, "--as", name)
        coop.hour[name] = opening["account"]
    for name in ("farm", "housing"):
        coop.kilo[name] = coop.answer("account", "open", "--unit", kilo, "--as", name)["account"]
    return authority, hour, kilo


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(600)
def test_a_unit_is_governed_from_opening_balances_to_closed_books(
    coop: Cooperation, icn: Any, tmp_path: Path
) -> None:
    authority, hour, kilo = set_up(coop)
    pending = coop.refused("pay", coop.hour["farm"], "1", "--from", coop.hour["fund"], "--as", "bakery")
    assert "OPENING_PENDING" in pending
    waiting = coop.answer("unit", "openings", hour)
    assert (waiting["sum_minor"], len(waiting["waiting"])) == ("0", 3)
    traders = [coop.hour[name] for name in TRADERS]
    unbalanced = coop.refused("unit", "openings", hour, *traders[:2], "--action")
    assert "OPENINGS_UNBALANCED: debts of 30.00, credits of 20.00 HOUR" in unbalanced
    assert "NOT_UNIT_AUTHORITY" in coop.refused("unit", "openings", hour, *traders, "--as", "bakery")
    coop.decide(authority, "unit", "openings", hour, *traders)
    assert [coop.account(name)["balance_minor"] for name in TRADERS] == ["-3000", "2000", "1000"]

    bakery = coop.identities["bakery"].principal.hex()
    told = coop.decide(
        authority,
        *("unit", "policy", hour, "--growth", "50%", "--growth-max", "200", "--counterparty-max", "60"),
        *("--soft", "0.8", "--fee-share", "1%", "--fund", coop.hour["fund"], "--freezer", bakery),
    )
    assert "limits grow by 50% of cleared trade, at most by 20000" in told
    assert coop.answer("unit", "show", hour)["policy"]["fee_ppm"] == 10_000

    # A first trade on the default floor, then a limit that grows once the trade goes both ways.
    coop.pay("farm", "workshop", "60")
    past = coop.refused("pay", coop.hour["housing"], "20", "--from", coop.hour["farm"], "--as", "farm")
    assert "CREDIT_LIMIT_EXCEEDED" in past
    assert "balance_minor -9000, held_minor 0, amount_minor 2000, floor_minor -10000" in past
    coop.pay("workshop", "farm", "50")
    grown = coop.answer("account", "show", coop.hour["farm"])
    assert (grown["balance_minor"], grown["limit_minor"], grown["growth_minor"]) == (
        "-4050",
        "-12500",
        "2500",
    )
    assert (grown["soft_limit_minor"], grown["spendable_minor"]) == ("-10000", "8450")
    coop.pay("farm", "housing", "80")
    assert coop.account("farm")["balance_minor"] == "-12050"

    # A standing order falls due by block time.
    ordered = coop.answer(
        "order", "place", coop.hour["workshop"], "5", "--first", "3s", "--as", "housing", "--memo", "rent"
    )
    assert ordered["memo_is_kept"]
    entry = until(
        lambda: coop.lines("account", "entries", coop.hour["workshop"], "--limit", "2"),
        lambda found: "standing" in {one["kind"] for one in found},
    )[-1]
    assert (entry["kind"], entry["transaction"], entry["hold"]) == ("standing", "", ordered["order"])
    shown = coop.lines("account", "entries", coop.hour["workshop"], "--limit", "2", "--as", "workshop")
    assert shown[-1]["memo"] == "rent"

    # Four eyes: a clerk orders, an officer releases, neither does anything else.
    principal = coop.identities["workshop"].principal.hex()
    for name, kind in (("clerk", "order-transfers"), ("officer", "release-order")):
        assert icn("keys", "new", name, "--for", principal).returncode == 0
        (tmp_path / f"{name}.json").write_text(icn("keys", "export", name).stdout)
        public = str(tmp_path / f"{name}.json")
        coop.answer("keys", "allow", public, "--kind", kind, "--amount-max", "1000", "--as", "workshop")
    placing = ("order", "place", coop.hour["housing"])
    needs_release = ("--first", "1d", "--needs-release")
    stuck = coop.run("order", "place", coop.hour["farm"], "1", *needs_release, "--as", "housing", "--json")
    assert (stuck.returncode, "no key of the owner can release it" in stuck.stderr) == (0, True)
    coop.answer("order", "cancel", json.loads(stuck.stdout)["order"], "--as", "housing")
    done = coop.run(*placing, "10", *needs_release, "--as", "clerk", "--json")
    assert (done.returncode, "can release it" in done.stderr) == (0, False)
    placed = json.loads(done.stdout)
    assert "KEY_SCOPE_EXCEEDED" in coop.refused(*placing, "10.01", "--first", "1d", "--as", "clerk")
    assert "KEY_SCOPE_EXCEEDED" in coop.refused("pay", coop.hour["housing"], "1", "--as", "clerk")
    assert "SAME_KEY" in coop.refused("order", "release", placed["order"], "--as", "clerk")
    assert [one["order"] for one in coop.lines("order", "list", coop.hour["workshop"])] == [placed["order"]]
    assert "ORDER_MISMATCH" in coop.refused("order", "release", placed["order"], "9", "--as", "officer")
    released = coop.answer("order", "release", placed["order"], "10", "--as", "officer")
    assert released["amount_minor"] == "1000"
    assert coop.lines("order", "list", coop.hour["workshop"]) == []

    # Two units change hands at a rate, both or neither.
    offer = coop.answer(
        *("exchange", "offer", "--give", "20", "--from", coop.kilo["farm"], "--expire", "1d"),
        *("--take", "40", "--into", coop.hour["farm"], "--as", "farm"),
    )["offer"]
    assert "PRICE_EXCEEDED" in coop.refused(
        "exchange", "take", offer, "10", "--pay-max", "19", "--as", "housing"
    )
    taken = coop.answer("exchange", "take", offer, "10", "--as", "housing")
    assert (taken["got_minor"], taken["paid_minor"]) == ("10", "2000")
    shown = coop.answer("exchange", "show", offer)
    assert shown["remaining_minor"] == "10"
    assert coop.lines("exchange", "list") == coop.lines("exchange", "list", "--unit", shown["give_unit"])
    assert coop.lines("exchange", "list") == [shown]
    assert coop.lines("exchange", "list", "--unit", shown["take_unit"]) == []
    for side in (coop.kilo["farm"], coop.hour["farm"]):
        assert [one["hold"] for one in coop.lines("account", "holds", side)] == [offer]
    coop.answer("exchange", "void", offer, "--as", "farm")
    over_ms = coop.on_chain(lambda connection: connection.newest_block_time_ms()) + 1
    assert coop.account("farm")["balance_minor"] == "-10070"

    # Several payments at once, all or none.
    (tmp_path / "legs.csv").write_text(
        f"source,destination,amount,memo\n{coop.hour['housing']},{coop.hour['workshop']},1.50,wages\n"
        f"{coop.hour['housing']},{coop.hour['farm']},0,\n"
    )
    assert "line 3: amount: must be more than zero" in coop.refused("pay-legs", "legs.csv", "--as", "housing")
    rows = (tmp_path / "legs.csv").read_text().replace(",0,\n", ",2.00,\n")
    (tmp_path / "legs.csv").write_text(rows)
    paid = coop.answer("pay-legs", "legs.csv", "--as", "housing")
    assert (paid["legs"], [one["memo_is_kept"] for one in paid["memos"]]) == (2, [True])
    shown = coop.lines("account", "entries", coop.hour["workshop"], "--limit", "4", "--as", "workshop")
    wages = [one for one in shown if one["height"] == paid["height"]]
    assert [one["memo"] for one in wages if one["amount_minor"] == "150"] == ["wages"], "beside its fee"

    coop.answer("account", "freeze", coop.hour["farm"], "--until", "1d", "--as", "bakery")
    assert coop.account("farm")["spendable_minor"] == "0"
    frozen = coop.refused("pay", coop.hour["housing"], "1", "--from", coop.hour["farm"], "--as", "farm")
    assert "ACCOUNT_FROZEN" in frozen
    coop.answer("account", "freeze", coop.hour["farm"], "--lift", "--as", "bakery")
    coop.pay("farm", "housing", "1")
    debt = coop.account("farm")["balance_minor"]
    assert debt == "-9972"

    # What the farm cannot pay any more is borne by the fund, as far as that is pledged.
    more = coop.refused("account", "write-off", coop.hour["farm"], "50.01", "--action")
    assert "PLEDGE_EXCEEDED: 50.00 of the fund are pledged, 50.01 HOUR are asked for" in more
    coop.decide(authority, "account", "write-off", coop.hour["farm"], "40")
    farm = coop.account("farm")
    assert (farm["balance_minor"], farm["limit_minor"], farm["has_own_floor"]) == ("-5972", "0", True)
    assert coop.account("fund")["pledged_minor"] == "1000"
    (written,) = coop.lines("account", "limits", coop.hour["farm"])
    assert (written["previous_floor_minor"], written["floor_minor"]) == ("-10000", "0")
    assert written["set_by"] == authority
    kinds = [one["kind"] for one in coop.lines("account", "limits", f"units/{hour}")]
    assert kinds == ["floor", "policy"]

    # Books are closed; who leaves gives back the place.
    closed = coop.answer("unit", "close-period", kilo, "--end", iso(over_ms), "--as", "bakery")
    balances = {bytes.fromhex(coop.kilo["farm"]): -10, bytes.fromhex(coop.kilo["housing"]): 10}
    genesis_hash = coop.on_chain(_genesis_hash)
    assert closed["digest"] == trial_balance_digest(genesis_hash, balances).hex()
    assert "PERIOD_CLOSED" in coop.refused(
        "unit", "close-period", kilo, "--end", "2020-01-01", "--as", "bakery"
    )
    floor = coop.answer("account", "floor", coop.kilo["farm"], "-60", "--as", "bakery")
    assert (floor["previous_floor_minor"], floor["floor_minor"]) == ("-50", "-60")
    used = coop.on_chain(lambda connection: _occupied(connection, coop, "housing"))
    assert "ACCOUNT_IN_USE" in coop.refused("account", "close", coop.kilo["housing"], "--as", "housing")
    rest = ("--remainder-to", coop.kilo["farm"])
    coop.answer("account", "close", coop.kilo["housing"], *rest, "--as", "housing")
    assert coop.on_chain(lambda connection: _occupied(connection, coop, "housing")) == used - 1
    assert coop.answer("account", "show", coop.kilo["housing"])["is_closed"]
    assert "ACCOUNT_CLOSED" in coop.refused("account", "close", coop.kilo["housing"], "--as", "housing")

    for unit in (hour, kilo):
        assert coop.on_chain(lambda connection, unit=unit: _sum(connection, bytes.fromhex(unit))) == 0
    roots = until(
        lambda: coop.on_chain(lambda connection: connection.statuses()),
        lambda found: len({(one.executed_height, one.state_root) for one in found if one}) == 1,
    )
    assert len([one for one in roots if one]) == SEATS

    data = ("--data", str(coop.directory))
    genesis = shutil.copy(coop.directory / "genesis.json", tmp_path / "elsewhere.json")
    for name in (f"unit-policies/{hour}", f"credit-lines/{hour}/{principal}"):
        assert icn("proof", "fetch", name, "--out", "proof.json", *data).returncode == 0
        proven = icn("proof", "verify", "proof.json", "--genesis", str(genesis))
        assert json.loads(proven.stdout)["valid"], proven.stdout
    assert icn("audit", "export", "--out", "archive.icn", *data).returncode == 0
    verified = icn("audit", "verify", "archive.icn", "--genesis", str(genesis))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    periods = json.loads(verified.stdout)["periods"]
    assert periods == {"closed": 1, "not_recomputed": 0, "wrong": 0}


async def _genesis_hash(connection: Connection) -> bytes:
    return connection.genesis.hash


async def _occupied(connection: Connection, coop: Cooperation, name: str) -> int:
    return int((await connection.allowance(coop.identities[name].principal)).used_state_leaves)


async def _sum(connection: Connection, unit: bytes) -> int:
    return sum(
        [account.leaf.balance_minor async for account in connection.accounts() if account.leaf.unit == unit]
    )
