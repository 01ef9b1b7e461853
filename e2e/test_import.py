"""A co-op takes its members and their balances over from a spreadsheet."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any


def test_a_bookkeeper_imports_members_and_what_they_bring(
    icn: Any, answer: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "SHEET", "--scale", "2", "--as", "bakery")["unit"]
    data = ("--data", str(federation.directory))
    on_unit = ("--unit", unit, *data, "--json")
    names = ("anna", "bruno", "carla")
    for name in names:
        assert icn("keys", "new", name).returncode == 0
        (tmp_path / f"{name}.public.json").write_text(icn("keys", "export", name).stdout)
    sheet = tmp_path / "members.csv"
    rows = {"anna": "-120.50", "bruno": "100", "carla": "20,50"}

    def write() -> None:
        lines = [f"{name};{name}.public.json;{brings}\r\n" for name, brings in rows.items()]
        sheet.write_bytes("\ufeffName;Member;Opening\r\n".encode() + "".join(lines).encode())

    write()
    checked = icn("import", "check", "members.csv", *on_unit)
    found = json.loads(checked.stdout)
    assert (checked.returncode, found["valid"], found["fault_count"]) == (1, False, 1)
    assert [(one["line"], one["column"], one["reason"]) for one in found["faults"]] == [
        (4, "opening", "NOT_DECIMAL")
    ]
    refused = icn("import", "members", "members.csv", "--as", "bakery", *on_unit)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "line 4, opening: NOT_DECIMAL" in refused.stderr and "nothing was sent" in refused.stderr

    rows["carla"] = "20.50"
    write()
    checked = icn("import", "check", "members.csv", *on_unit)
    found = json.loads(checked.stdout)
    assert checked.returncode == 0, checked.stderr
    assert (found["to_admit"], found["is_balanced"], found["debts_minor"]) == (3, True, "12050")

    told = answer("import", "members", "members.csv", "--unit", unit, "--as", "bakery")
    assert (told["admitted"], [one["state"] for one in told["members"]]) == (3, ["missing"] * 3)
    again = answer("import", "members", "members.csv", "--unit", unit, "--as", "bakery")
    assert (again["admitted"], again["members"]) == (
        0,
        [one | {"is_new": False} for one in told["members"]],
    )

    opened = []
    for member in told["members"]:
        if member["name"] == "carla":
            early = icn("import", "confirm", "members.csv", "--as", "bakery", *on_unit)
            (difference,) = json.loads(early.stdout)["differences"]
            assert early.returncode == 1
            assert (difference["reason"], difference["line"]) == ("MISSING", 4)
            assert (difference["expected_minor"], difference["waiting"]) == ("2050", [])
        (command,) = member["to_do"]
        opened.append(answer(*shlex.split(command)[1:])["account"])

    confirm = ("import", "confirm", "members.csv", "--unit", unit)
    other = icn(*confirm, "--as", "farm", *data)
    assert (other.returncode, "NOT_UNIT_AUTHORITY" in other.stderr) == (1, True)
    done = answer(*confirm, "--as", "bakery")
    assert (done["confirmed"], done["groups"], done["differences"]) == (3, [sorted(opened)], [])
    listed = icn("account", "list", "--json", *data).stdout.splitlines()
    balances = {
        one["account"]: int(one["balance_minor"]) for one in map(json.loads, listed) if one["unit"] == unit
    }
    assert balances == dict(zip(opened, (-120_50, 100_00, 20_50), strict=True))
    assert sum(balances.values()) == 0
    again = answer(*confirm, "--as", "bakery")
    assert (again["confirmed"], again["done_before"], again["transactions"]) == (0, 3, [])
