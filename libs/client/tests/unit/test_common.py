"""What the commands share: amounts, ids, and how asynchronous work ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_client.cli.common import (
    DURATION_MS_MAX,
    amount_minor,
    duration_ms,
    identifier,
    run_async,
    show_duration,
)
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError
from icn_client.submitter import TransactionMalformed


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("0", 2, 0),
        ("12.5", 2, 1_250),
        ("12.500", 2, 1_250),
        ("4611686018427387904", 0, 2**62),
        ("4611686018.427387904", 9, 2**62),
    ],
)
def test_an_amount_is_read_exactly_up_to_what_the_ledger_holds(text: str, scale: int, minor: int) -> None:
    assert amount_minor(text, scale) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1e400",
        "1e3",
        "NaN",
        "Infinity",
        "1_0",
        "\u0661",
        "\uff11",
        "+1",
        " 1",
        "1\n",
        ".5",
        "5.",
        "9" * 41,
    ],
)
def test_an_amount_in_anything_but_plain_ascii_digits_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a decimal number"):
        amount_minor(text, 2)


def test_an_amount_above_what_the_ledger_holds_is_refused_with_both_numbers() -> None:
    for text, scale in (("99999999999999999999999", 2), ("4611686018427387905", 0), ("9" * 40, 9)):
        with pytest.raises(UsageError) as told:
            amount_minor(text, scale)
        assert f"{text}{'0' * scale} minor units" in str(told.value)
        assert "4611686018427387904" in str(told.value)


def test_an_amount_with_too_many_decimal_places_says_how_many_there_are() -> None:
    with pytest.raises(UsageError, match="more than 2 decimal places"):
        amount_minor("0.001", 2)


def test_a_floor_may_be_negative_and_an_amount_may_not() -> None:
    assert amount_minor("-5.25", 2, "--floor", may_be_negative=True) == -525
    with pytest.raises(UsageError, match="AMOUNT: '-5' is negative"):
        amount_minor("-5", 2)
    with pytest.raises(UsageError, match="--floor: -99999999999999999999 is -99999999999999999999"):
        amount_minor("-99999999999999999999", 0, "--floor", may_be_negative=True)


def test_an_id_of_another_folder_is_not_taken_for_an_account() -> None:
    digits = "0f" * 16
    assert identifier(f"accounts/{digits}", "ACCOUNT", "accounts") == bytes.fromhex(digits)
    assert identifier(digits, "ACCOUNT", "accounts") == bytes.fromhex(digits)
    for text in (f"units/{digits}", f"/{digits}", f"x/accounts/{digits}"):
        with pytest.raises(UsageError, match=r"is not of accounts/"):
            identifier(text, "ACCOUNT", "accounts")


def test_a_transaction_that_a_validator_finds_malformed_is_refused_in_one_sentence() -> None:
    async def work() -> None:
        raise TransactionMalformed("transaction 0 of the stream: source and destination are the same")

    with pytest.raises(Refused, match="source and destination are the same") as told:
        run_async(work())
    assert (told.value.reason, told.value.exit_code) == ("MALFORMED_TRANSACTION", EXIT_REFUSED)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1s", 1_000),
        ("90m", 5_400_000),
        ("36h", 129_600_000),
        ("14d", 1_209_600_000),
        ("366d", DURATION_MS_MAX),
        ("0014d", 1_209_600_000),
    ],
)
def test_a_duration_is_read_exactly(text: str, milliseconds: int) -> None:
    assert duration_ms(text, "--delay") == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "14",
        "d",
        "0d",
        "-1d",
        "1.5d",
        "14 d",
        "1d1h",
        "367d",
        "31622401s",
        "9999999999d",
        "9" * 99,
        "1w",
        "\u0661d",
        "1d\n",
    ],
)
def test_what_is_no_duration_up_to_a_year_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--delay"):
        duration_ms(text, "--delay")


@given(st.integers(1, 366 * 24 * 60 * 60))
def test_a_shown_duration_reads_back(seconds: int) -> None:
    assert duration_ms(show_duration(seconds * 1_000), "--delay") == seconds * 1_000


def test_a_duration_of_no_whole_second_is_shown_in_milliseconds() -> None:
    assert show_duration(1_500) == "1500 ms"
