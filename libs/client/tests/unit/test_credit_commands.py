"""What the commands about credit read of what people type, before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from icn.ledger.v1.transaction_pb2 import Message
from icn_client.cli.account_terms import AmountCommand
from icn_client.cli.common import moment_ms, parse_time_ms
from icn_client.cli.key_scopes import UNSCOPED_ONLY, scope_kinds
from icn_client.cli.orders import _every
from icn_client.cli.output import Refused, UsageError
from icn_client.cli.payments import _read_rows
from icn_client.cli.unit_policies import share_ppm
from icn_machine.messages import KIND_NUMBERS, THRESHOLD_KINDS

PPM = 1_000_000
ONE, OTHER = "11" * 16, "22" * 16


@pytest.mark.parametrize(
    ("text", "ppm"),
    [
        ("50%", 500_000),
        ("0.5", 500_000),
        ("0.25%", 2_500),
        ("0.0001%", 1),
        ("0.000001", 1),
        ("1", PPM),
        ("100.000%", PPM),
        ("0", 0),
    ],
)
def test_a_share_is_read_exactly(text: str, ppm: int) -> None:
    assert share_ppm(text, "--growth", PPM) == ppm


@pytest.mark.parametrize(
    "text", ["", "%", "-1%", "1e-3", "½", "0.00001%", "0.0000001", "100.0001%", "1.000001", "5 %"]
)
def test_what_is_no_share_is_a_usage_error_that_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--growth"):
        share_ppm(text, "--growth", PPM)


@pytest.mark.parametrize(
    ("text", "found"), [("7d", (7, 0)), ("366d", (366, 0)), ("1m", (0, 1)), ("12m", (0, 12)), (None, (0, 0))]
)
def test_orders_come_every_so_many_days_or_months(text: str | None, found: tuple[int, int]) -> None:
    assert _every(text) == found


@pytest.mark.parametrize("text", ["0d", "367d", "13m", "0m", "1h", "m", "1", "１d"])
def test_other_spans_between_orders_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--every"):
        _every(text)


def test_a_moment_is_a_time_from_now_or_a_day() -> None:
    assert moment_ms("2s", "--first", 1_000) == 3_000
    assert moment_ms("1970-01-02", "--first", 1_000) == 86_400_000
    assert parse_time_ms("1970-01-01T00:00:00.001+00:00", "--end") == 1
    with pytest.raises(UsageError, match="--first"):
        moment_ms("1969-12-31", "--first", 0)


def test_an_amount_below_zero_is_an_argument_and_no_option() -> None:
    app = typer.Typer()
    seen: list[tuple[str, str | None]] = []

    @app.command(cls=AmountCommand)
    def floor(amount: str, acting: str | None = typer.Option(None, "--as")) -> None:
        seen.append((amount, acting))

    command = typer.main.get_command(app)
    command.main(["-5.50", "--as", "anna"], standalone_mode=False)
    command.main(["--as", "anna", "--", "-7"], standalone_mode=False)
    command.main(["3"], standalone_mode=False)
    assert seen == [("-5.50", "anna"), ("-7", "anna"), ("3", None)]


def test_kinds_of_a_scope_are_named_by_words() -> None:
    assert scope_kinds(["release-order", "order_transfers", "release-order"]) == [
        "order_transfers",
        "release_order",
    ]
    with pytest.raises(UsageError, match="did you mean order-transfers"):
        scope_kinds(["order-transfer"])
    numbers = {Message.DESCRIPTOR.fields_by_name[kind].number for kind in UNSCOPED_ONLY}
    assert numbers == {KIND_NUMBERS[kind] for kind in THRESHOLD_KINDS}
    for kind in UNSCOPED_ONLY:
        with pytest.raises(UsageError, match="cannot sign"):
            scope_kinds([kind])


HEADER = "source,destination,amount\n"


def test_rows_of_payments_keep_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "legs.csv"
    file.write_text(f"{HEADER}{ONE},accounts/{OTHER},1.50\n\n{OTHER},{ONE},2\n")
    assert [(*row[:4], row.memo.text) for row in _read_rows(file)] == [
        (2, b"\x11" * 16, b"\x22" * 16, "1.50", None),
        (4, b"\x22" * 16, b"\x11" * 16, "2", None),
    ]
    file.write_text(f'{HEADER[:-1]},memo\n{ONE},{OTHER},1.50,"March, first half"\n{OTHER},{ONE},2,\n')
    assert [row.memo.text for row in _read_rows(file)] == ["March, first half", None]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "line 1: the header"),
        ("source,destination\n", "line 1: the header"),
        (f"{HEADER}{ONE},{OTHER},1\n", "1 rows, 2 to 64"),
        (HEADER + f"{ONE},{OTHER},1\n" * 65, "65 rows, 2 to 64"),
        (f"{HEADER}{ONE},{OTHER}\n", "line 2: 2 columns"),
        (f"{HEADER}{ONE},{OTHER},1,\n", "line 2: 4 columns"),
        (f"{HEADER[:-1]},memo\n{ONE},{OTHER},1\n", "line 2: 3 columns"),
        (f"{HEADER[:-1]},memo\n{ONE},{OTHER},1,{'x' * 641}\n", "line 2: memo: the memo has 641 bytes"),
        (f"{HEADER}{ONE},{OTHER},1\n{ONE},nobody,1\n", "line 3: destination: 'nobody'"),
        (f'{HEADER}"{ONE}', "unexpected end of data"),
        ("\xff", "codec"),
    ],
)
def test_a_file_of_payments_with_a_bad_row_is_refused_with_its_line(
    content: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "legs.csv"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(Refused, match=told):
        _read_rows(file)
