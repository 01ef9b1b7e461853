"""A member on a device of her own: all she has is the gateway's address and the genesis file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


class Device:
    """A folder with its own keystore, where no file of the platform can be found."""

    def __init__(self, icn: Any, folder: Path) -> None:
        folder.mkdir()
        self.data = folder / "zone"
        self._icn = icn
        self._keys = folder / "keys"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self._icn(
            *arguments, ICN_KEYSTORE=str(self._keys), ICN_DATA=str(self.data)
        )
        return done

    def answer(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def device(icn: Any, tmp_path: Path, federation: Any) -> Device:
    made = Device(icn, tmp_path / "phone")
    connected = made.answer("connect", federation.gateway_url)
    assert connected["genesis"] == federation.network.genesis.hash.hex()
    assert connected["zone"] == "Federation under test"
    return made


def test_a_member_pays_books_and_proves_through_the_gateway_alone(
    device: Device, answer: Run, tmp_path: Path, federation: Any
) -> None:
    device.answer("keys", "new", "mara")
    public = tmp_path / "mara.json"
    public.write_text(device.run("keys", "export", "mara").stdout)
    principal = answer("account", "admit", str(public), "--as", "bakery")["principal"]
    unit = answer("unit", "create", "REMOTE", "--as", "bakery", "--scale", "2", "--floor", "-50")["unit"]
    account = device.answer("account", "open", "--unit", unit, "--as", "mara")["account"]
    other = answer("account", "open", "--unit", unit, "--as", "farm")["account"]
    paid = device.answer("pay", other, "12.50", "--as", "mara", "--memo", "two loaves")
    assert paid["memo_is_kept"]
    assert paid["balance_minor"] == "-1250"
    watched = device.answer("account", "watch", account, "--from-height", "1", "--count", "1")
    assert [one["amount_minor"] for one in watched["entries"]] == ["-1250"]
    refused = device.run("pay", other, "100", "--as", "mara")
    assert refused.returncode == 1 and "CREDIT_LIMIT_EXCEEDED" in refused.stderr
    shown, shown_here = device.answer("account", "show", account), answer("account", "show", account)
    assert shown.pop("height") <= shown_here.pop("height"), "blocks go on meanwhile"
    assert shown == shown_here
    assert device.answer("account", "entries", account) == answer("account", "entries", account)

    device.answer("member", "apply", answer("account", "show", other)["owner"], "--as", "mara")
    farm = federation.founders[2].founder.principal.hex()
    press = ("--owner", farm, "--title", "Press", "--kind", "press", "--as", "farm")
    resource = answer("resource", "add", *press)["name"]
    tomorrow = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    times = [(tomorrow + timedelta(hours=hours)).isoformat() for hours in (0, 2)]
    booked = device.answer("book", resource, "--from", times[0], "--to", times[1], "--as", "mara")
    assert booked["state"] == "booked"
    assert device.answer("booking", "list", "--resource", resource) == answer(
        "booking", "list", "--resource", resource
    )

    proof = tmp_path / "account.json"
    assert device.run("proof", "fetch", f"accounts/{account}", "--out", str(proof)).returncode == 0
    verified = device.run("proof", "verify", str(proof), "--genesis", str(device.data / "genesis.json"))
    shown = json.loads(verified.stdout)
    assert (shown["statement"]["balance_minor"], shown["statement"]["owner"]) == ("-1250", principal)
    statement = tmp_path / "mara.jsonl"
    assert device.run("statement", "export", account, "--out", str(statement)).returncode == 0
    verified = device.run(
        "statement", "verify", str(statement), "--genesis", str(device.data / "genesis.json")
    )
    stated = json.loads(verified.stdout)
    assert (stated["entries"], stated["closing_minor"]) == ("1", "-1250")
    assert device.answer("status")["has_quorum"]


def test_a_gateway_of_another_zone_is_refused_and_nothing_is_noted(
    icn: Any, federation: Any, tmp_path: Path
) -> None:
    url, data = federation.gateway_url, tmp_path / "zone"
    for arguments in (
        ["--genesis-hash", "00" * 32],
        ["--genesis-hash", "short"],
        ["--genesis", str(tmp_path / "missing.json")],
    ):
        done = icn("connect", url, "--data", str(data), *arguments)
        assert done.returncode in (1, 2) and not data.exists(), done
    own = icn("connect", url, "--data", str(federation.directory))
    assert own.returncode == 1 and "the platform of this machine" in own.stderr
    nobody = icn("connect", "http://127.0.0.1:9", "--data", str(data))
    assert nobody.returncode == 3 and not data.exists()
    assert icn("connect", "ftp://icn.example", "--data", str(data)).returncode == 2
