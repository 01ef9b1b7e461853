"""What `icn import` tells members to do, how it sends, and what it does when a file changed meanwhile."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from icn.ledger.v1.state_pb2 import UnitLeaf
from icn.ledger.v1.transaction_pb2 import Message
from icn_client.cli.import_answers import _left_to_do, print_sheet
from icn_client.cli.imports import _groups, _open_controller, _public_part
from icn_client.cli.output import Refused
from icn_client.credit import confirm_openings
from icn_client.importing import MESSAGES_BYTES_MAX, _batches
from icn_client.spreadsheet import CellFault, Fault, Member, Sheet, Standing
from icn_client.transactions import KeyPair, anchor
from icn_kit.genesis import public_keys_document
from icn_machine.limits import OPENINGS_MAX

UNIT = UnitLeaf(unit=b"u" * 16, code="HOURS", scale=2)
FIRST, SECOND = b"a" * 16, b"b" * 16
OPENING = f"icn account open --unit {UNIT.unit.hex()} --as anna --brings -0.50"
OPENING_REST = OPENING.replace("-0.50", "-0.20")


def closing(account: bytes) -> str:
    return f"icn account close {account.hex()} --as anna"


@pytest.mark.parametrize(
    ("standing", "state", "to_do"),
    [
        (Standing(), "missing", [OPENING]),
        (Standing(is_open=True), "not_waiting", [OPENING]),
        (Standing({FIRST: -50}), "waiting", []),
        (Standing({FIRST: 50}), "other_amount", [closing(FIRST), OPENING]),
        (Standing({FIRST: 50, SECOND: 51}), "other_amount", [closing(FIRST), closing(SECOND), OPENING]),
        (Standing({FIRST: 50, SECOND: -50}), "other_amount", [closing(FIRST)]),
        (Standing({FIRST: -50, SECOND: -50}), "other_amount", [closing(SECOND)]),
        (Standing({FIRST: -20, SECOND: -30}), "waiting", []),
        (Standing({FIRST: -20}, confirmed_minor=-30), "waiting", []),
        (Standing({FIRST: -21}, confirmed_minor=-30), "other_amount", [closing(FIRST), OPENING_REST]),
        (Standing(confirmed_minor=-50, is_open=True), "done", []),
        (Standing(confirmed_minor=-50), "done", []),
        (Standing(confirmed_minor=-60), "other_amount", []),
        (Standing({FIRST: -50}, confirmed_minor=-50), "other_amount", [closing(FIRST)]),
    ],
)
def test_a_member_is_told_what_brings_it_in_line_with_the_sheet(
    standing: Standing, state: str, to_do: list[str]
) -> None:
    member = Member(2, "anna", FIRST, "", -50)
    assert _left_to_do(member, standing, UNIT) == {"state": state, "to_do": to_do}


def test_who_brings_nothing_opens_a_plain_account_under_a_name_of_its_own() -> None:
    opening = f"icn account open --unit {UNIT.unit.hex()} --as NAME"
    member = Member(2, "Anna; rm -rf ~", FIRST, "", 0)
    assert _left_to_do(member, Standing(), UNIT) == {"state": "missing", "to_do": [opening]}
    assert _left_to_do(member, Standing(is_open=True), UNIT) == {"state": "done", "to_do": []}


def test_faults_that_are_not_kept_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet([Member(3, "Anna", FIRST, "", -50)], [Fault(2, "name", "EMPTY", "empty")], 7, 8)
    print_sheet(Path("x.csv"), sheet, 2, False, "HOURS", {FIRST})
    shown = capsys.readouterr()
    assert "line 2, name: EMPTY: empty\nand 6 more faults\n" in shown.out
    assert "to admit  1\n" in shown.out and "together  -0.50 HOURS\n" in shown.out
    assert "members owe more than is owed to them, by 0.50" in shown.err


def test_messages_go_into_as_few_transactions_as_hold_them() -> None:
    small = [anchor(bytes(32), "x")] * 33
    assert [len(batch) for batch in _batches(small)] == [16, 16, 1]
    accounts = [number.to_bytes(16, "big") for number in range(OPENINGS_MAX)]
    large = [confirm_openings(UNIT.unit, accounts)] * 13
    batches = list(_batches(large))
    assert [len(batch) for batch in batches] == [6, 6, 1]
    assert max(sum(one.ByteSize() for one in batch) for batch in batches) <= MESSAGES_BYTES_MAX
    mixed: list[Message] = [*large[:6], small[0], large[0]]
    assert list(chain(*_batches(mixed))) == mixed
    assert list(_batches([])) == []


def test_claims_that_no_groups_are_found_for_are_refused() -> None:
    claims = {number.to_bytes(16, "big"): -1 for number in range(OPENINGS_MAX)} | {b"x" * 16: OPENINGS_MAX}
    with pytest.raises(Refused, match=f"{OPENINGS_MAX + 1} accounts were found") as refusal:
        _groups(claims, UNIT)
    assert refusal.value.reason == "NO_GROUPS"


def public_part(path: Path, principal: bytes, keys: int = 1) -> list[Any]:
    found = [{"public_keys": public_keys_document(KeyPair.generate().public_keys)} for _ in range(keys)]
    path.write_text(json.dumps({"principal": principal.hex(), "threshold": 1, "keys": found}))
    return found


def test_a_public_part_that_changed_after_the_check_is_refused_with_its_line(tmp_path: Path) -> None:
    sheet, file = tmp_path / "members.csv", tmp_path / "anna.json"
    member = Member(7, "Anna", FIRST, "anna.json", 0)
    public_part(file, FIRST)
    assert _open_controller(sheet, member, None).open_controller.principal == FIRST
    public_part(file, SECOND)
    with pytest.raises(Refused, match=f"line 7, member: it is of principals/{SECOND.hex()} now"):
        _open_controller(sheet, member, None)
    file.unlink()
    with pytest.raises(Refused, match=r"line 7, member: 'anna.json' is no id .* and no file") as refusal:
        _open_controller(sheet, member, None)
    assert refusal.value.reason == "FILE_UNREADABLE"


def test_a_public_part_has_as_many_keys_as_a_controller_and_no_more(tmp_path: Path) -> None:
    public_part(tmp_path / "most.json", FIRST, 16)
    principal, threshold, keys = _public_part(tmp_path / "members.csv", "most.json")
    assert (principal, threshold, len(keys)) == (FIRST, 1, 16)
    public_part(tmp_path / "more.json", FIRST, 17)
    with pytest.raises(CellFault, match="17 keys, at most 16"):
        _public_part(tmp_path / "members.csv", "more.json")
