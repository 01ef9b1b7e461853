"""The marketplace's commands without a platform: what they refuse, and how they read times."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from icn.marketplace.v1 import service_pb2 as pb
from icn_client import marketplace
from icn_client.cli import marketplace as cli
from icn_client.cli.marketplace import _minutes, _offset_minutes, _opening, _show_time, _time_ms
from icn_client.cli.output import Refused, UsageError
from icn_client.commands import sign_command
from icn_client.transactions import KeyPair

from libs.client.tests.unit.test_cli import icn

GENESIS = b"g" * 32
BOOK = ("book", "ab" * 16, "--from", "2027-05-01", "--to", "2027-05-02")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00Z", 0),
        ("2027-05-01T08:00Z", 1_809_158_400_000),
        ("2027-05-01T08:00", 1_809_158_400_000),
        ("2027-05-01T10:00+02:00", 1_809_158_400_000),
        ("2027-05-01", 1_809_129_600_000),
    ],
)
def test_times_are_read_exactly_and_of_utc_without_an_offset(text: str, time_ms: int) -> None:
    assert _time_ms(text, "--from") == time_ms


def test_times_are_shown_as_they_are_read() -> None:
    assert _show_time(1_809_158_400_000) == "2027-05-01T08:00Z"
    assert _show_time(1_809_158_401_000) == "2027-05-01T08:00:01Z"


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "1969-12-31T23:59Z", "2027-13-01", "2027-05-01T25:00Z", "x" * 99]
)
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        _time_ms(text, "--from")


def test_hours_offsets_and_lengths_have_one_form() -> None:
    assert _opening("08:00-18:30") == (480, 1_110)
    assert _opening("00:00-24:00") == (0, 1_440)
    assert (_offset_minutes("+01:00"), _offset_minutes("-03:30")) == (60, -210)
    assert _minutes("4h", "--longest") == 240
    for wrong in ("18:00-08:00", "08:00-08:00", "8-18", "08:00-24:01", "08:60-09:00"):
        with pytest.raises(UsageError):
            _opening(wrong)
    for wrong in ("1", "+1:00", "01:00", "+24:00"):
        with pytest.raises(UsageError):
            _offset_minutes(wrong)
    with pytest.raises(UsageError):
        _minutes("90s", "--longest")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("book", "ab" * 16, "--from", "x", "--to", "y", "--as", "anna"), "--from"),
        (("book", "zz", "--from", "2027-05-01", "--to", "2027-05-02", "--as", "anna"), "RESOURCE"),
        (
            (
                "book",
                "ab" * 16,
                "--from",
                "2027-05-01",
                "--to",
                "2027-05-02",
                "--as",
                "a",
                "--or-wait",
                "--or-next",
            ),
            "exclude",
        ),
        (("booking", "list"), "--resource"),
        (("booking", "cancel", f"offers/{'ab' * 16}", "--as", "anna"), "BOOKING"),
        (("agreement", "show", "1"), "AGREEMENT"),
        (("offer", "accept", "ab" * 16, "0", "--as", "anna"), "QUANTITY"),
    ],
)
def test_wrong_arguments_are_usage_errors_before_anything_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    run = icn(*arguments, folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert said in run.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("resource", "add", "--owner", "ab" * 16, "--title", "Oven", "--kind", "oven"),
        (
            *("offer", "publish", "--title", "Bread", "--kind", "bread", "--quantity", "1"),
            *("--measure", "loaf", "--price", "1", "--account", "ab" * 16),
        ),
    ],
)
def test_a_photo_that_would_be_refused_is_refused_before_anything_is_asked(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "good.png").write_bytes(b"\x89PNG\r\n\x1a\n good")
    (tmp_path / "x.svg").write_text("<svg/>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(1_000_000))
    for photos, reason in (
        (("good.png", "x.svg"), "PHOTO_KIND_UNKNOWN"),
        (("empty.jpg",), "PHOTO_KIND_UNKNOWN"),
        (("large.jpg",), "larger than 1000000 bytes"),
        (("good.png",) * 9, "TOO_MANY_PHOTOS"),
    ):
        options = [part for photo in photos for part in ("--photo", photo)]
        run = icn(*arguments, *options, "--as", "anna", folder=tmp_path, XDG_STATE_HOME=str(tmp_path))
        assert (run.returncode, run.stdout) == (1, b"")
        assert reason in run.stderr.decode()


def test_a_photo_is_what_the_marketplace_takes() -> None:
    assert marketplace.is_photo(b"RIFF\0\0\0\0WEBPVP8 ")
    assert marketplace.is_photo(b"\xff\xd8\xff" + bytes(999_997))
    assert not marketplace.is_photo(b"\xff\xd8\xff" + bytes(999_998))
    assert not marketplace.is_photo(b"RIFF\0\0\0\0WAVE")


def test_times_in_refusals_are_shown_by_the_clock_of_who_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(
            "BOOKING_OVERLAPS: next is 2027-05-01T08:00Z to 2027-05-01T08:00:05Z", "BOOKING_OVERLAPS"
        )

    monkeypatch.setattr(cli, "with_connection", refuse)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        with pytest.raises(Refused) as refused:
            cli._connected(tmp_path, lambda _: pytest.fail("nothing is asked"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert str(refused.value) == (
        "BOOKING_OVERLAPS: next is 2027-05-01T13:30+05:30 to 2027-05-01T13:30:05+05:30"
    )
    assert refused.value.reason == "BOOKING_OVERLAPS"


def test_without_a_platform_the_commands_say_so(tmp_path: Path) -> None:
    for arguments in (("resource", "list"), ("offer", "list"), ("agreement", "list", "--json")):
        run = icn(*arguments, folder=tmp_path, XDG_STATE_HOME=str(tmp_path))
        assert (run.returncode, run.stdout) == (3, b"")


def test_ids_of_an_agreement_are_known_before_anybody_answers_and_pay_by_the_commitments_id() -> None:
    key = KeyPair.generate()
    request = pb.AcceptOffer(offer=b"o" * 16, quantity=1, price_minor=5, expire_time_ms=9)
    signed = sign_command(GENESIS, [key], b"p" * 16, marketplace.METHODS + "AcceptOffer", request)
    ids = marketplace.agreement_ids(GENESIS, signed)
    assert len({ids.agreement, ids.delivery, ids.payment}) == 3
    agreement = pb.Agreement(
        account=f"accounts/{'cd' * 16}",
        amount_minor=5,
        expire_time_ms=9,
        commitments=[
            pb.Commitment(name=f"commitments/{ids.delivery.hex()}"),
            pb.Commitment(name=f"commitments/{ids.payment.hex()}"),
        ],
    )
    placed = marketplace.place_payment(agreement, b"s" * 16).place_hold
    assert (placed.hold, placed.source, placed.destination) == (ids.payment, b"s" * 16, b"\xcd" * 16)
    assert (placed.amount_minor, placed.expire_time_ms) == (5, 9)
    captured = marketplace.capture_payment(agreement).capture_hold
    assert (captured.hold, captured.amount_minor) == (ids.payment, 5)
