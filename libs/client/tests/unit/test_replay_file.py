"""Reading a transaction file."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_client.replay_file import ReplayFileInvalid, minor_units, read_transfers

HEADER = "id,timeset,transfer_subtype,source,target,weight,token_name,token_address\n"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ("18000.0", 18_000_000_000),
        ("9047.660892016263", 9_047_660_892),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("0.00000250000000000001", 3),
        ("1e3", 1_000_000_000),
        ("1E-6", 1),
        ("0", 0),
        ("-0.0", 0),
        ("4611686018427.387904", 2**62),
    ],
)
def test_weights_are_rounded_half_to_even_at_the_sixth_place(weight: str, expected: int) -> None:
    assert minor_units(weight) == expected


@pytest.mark.parametrize(
    "weight",
    [
        *("", "x", "NaN", "Infinity", "-1", "1_0", " 1", "1\n", ".", "\u0661\u0662", "\uff11"),
        *("4611686018427.387905", "1e30", "9" * 65, "1e999999999999"),
    ],
)
def test_a_weight_that_the_ledger_cannot_hold_is_refused(weight: str) -> None:
    with pytest.raises(ValueError):
        minor_units(weight)


@given(st.integers(0, 2**62 * 1000))
def test_rounding_is_exact_where_a_float_is_not(thousandths: int) -> None:
    whole, rest = divmod(thousandths, 1000)
    expected = whole + (rest > 500 or (rest == 500 and whole % 2 == 1))
    weight = str(Decimal(thousandths).scaleb(-9))
    if expected <= 2**62:
        assert minor_units(weight) == expected


def test_parties_are_numbered_as_they_appear_and_disbursers_issue(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "1,t,DISBURSEMENT,bank,ana,10.0,Sarafu,0x",
        "2,t,STANDARD,ana,bruno,2.5,Sarafu,0x",
    )
    transfers = read_transfers(path)
    assert transfers.parties == ("bank", "ana", "bruno")
    assert transfers.issuers == {0}
    assert [(row.source, row.target, row.amount_minor) for row in transfers.rows] == [
        (0, 1, 10_000_000),
        (1, 2, 2_500_000),
    ]
    assert transfers.code == "SARAFU"


def test_a_compressed_file_is_recognized_by_its_content(tmp_path: Path) -> None:
    plain = write(tmp_path, "1,t,STANDARD,a,b,1,Sarafu,0x")
    packed = tmp_path / "rows.data"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_transfers(packed) == read_transfers(plain)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["1,t,STANDARD,a,b,much,S,0x"], "line 2: field weight"),
        (["1,t,STANDARD,a,b,1,S,0x", "2,t,STANDARD,,b,1,S,0x"], "line 3: field source"),
        (["1,t,STANDARD,a"], "line 2: field target"),
    ],
)
def test_a_refusal_names_line_and_field(tmp_path: Path, lines: list[str], named: str) -> None:
    with pytest.raises(ReplayFileInvalid, match=named):
        read_transfers(write(tmp_path, *lines))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,source,target,weight\n1,a,b,1\n")
    with pytest.raises(ReplayFileInvalid, match="column transfer_subtype is missing"):
        read_transfers(path)


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(write(tmp_path, "1,t,STANDARD,a,b,1,S,0x").read_bytes())[:-9])
    with pytest.raises(ReplayFileInvalid):
        read_transfers(packed)


def test_a_damaged_archive_is_refused_and_named(tmp_path: Path) -> None:
    packed = tmp_path / "rows.csv.gz"
    content = bytearray(gzip.compress(write(tmp_path, *["1,t,STANDARD,a,b,1,S,0x"] * 50).read_bytes()))
    content[10] = 0xFF  # the first block's type, which no reader knows
    packed.write_bytes(content)
    with pytest.raises(ReplayFileInvalid, match=r"rows\.csv\.gz: damaged gzip data"):
        read_transfers(packed)


def test_a_header_field_that_is_too_long_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x" * 5_000 + "," + HEADER)
    with pytest.raises(ReplayFileInvalid, match="line 1: field larger"):
        read_transfers(path)


def test_a_weight_above_what_the_ledger_holds_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "1,t,STANDARD,a,b,1,S,0x", "2,t,STANDARD,a,b,4611686018427.387905,S,0x")
    with pytest.raises(ReplayFileInvalid, match="line 3: field weight is more than the ledger can hold"):
        read_transfers(path)
