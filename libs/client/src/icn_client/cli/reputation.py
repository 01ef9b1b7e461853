"""`icn reputation`: scores and why, from the service; predictions from a file, offline, on its engine."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from icn_client.cli.common import (
    DataOption,
    JsonOption,
    command_group,
    identifier,
    platform_directory,
    show_time,
    with_connection,
)
from icn_client.cli.files import FILE_BYTES_MAX, read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_json_lines, print_text, progress, say

_GZIP_MAGIC = b"\x1f\x8b"
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}")
_SCORE_DECIMALS = 9
_CALENDAR_END_MS = 253_402_300_799_999
"""End of the year 9999."""
_EXAMPLES = """\b
Examples:
  icn reputation show PRINCIPAL
  icn reputation replay --in ratings.csv --predict-from 0.8
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn reputation show PRINCIPAL
  icn reputation show principals/7f3a… --dimension delivery --json
"""
_REPLAY_EXAMPLES = """\b
Examples:
  icn reputation replay --in ratings.csv --predict-from 0.8
"""


def register(app: typer.Typer) -> None:
    """Add `reputation`."""
    group = command_group("Reputation, explained and predicted.", _EXAMPLES)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("replay", epilog=_REPLAY_EXAMPLES)(replay)
    app.add_typer(group, name="reputation")


def show(
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Of whom.")],
    dimension: Annotated[
        str, typer.Option("--dimension", metavar="D", help="delivery or payment; by default each.")
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a principal's scores, the parts that each is the sum of, what others experienced with it, failures
    first, and what the ledger keeps of it.

    Duty and give and take are the ledger's integers. Scores advise; they never weigh a vote.
    """
    from icn_client import reputation

    who = identifier(principal, "PRINCIPAL", "principals")
    found = with_connection(
        platform_directory(data), lambda connection: reputation.standing(connection, who, dimension)
    )
    document = reputation.standing_document(who, found)
    if as_json:
        print_json(document)
        return
    if not found.scores:
        print_text("no evidence names it, and it is no seed: no score")
    for score in document["scores"]:
        _print_score(score)
    for about in document["evidence"]:
        _print_evidence(about)
    for duty in document["duties"]:
        print_text(
            f"duty, epoch {duty['epoch']}: signed {duty['signed']} of {duty['blocks']} blocks,"
            f" proposed {duty['proposed']}"
        )
    for one in document["reciprocities"]:
        print_text(
            f"account {one['account']}: given {one['given_minor']}, received {one['received_minor']},"
            f" by the unit's rules and authority {one['marked_given_minor']} given and"
            f" {one['marked_received_minor']} received, balance {one['balance_minor']} (minor units)"
        )


def _print_score(score: dict[str, Any]) -> None:
    evidence = int(score["evidence_count"])
    as_of = f", as of {_time(score['as_of_time_ms'])}" if evidence else ""
    print_text(
        f"{score['dimension']}: {_decimal(score['score_nano'])}, rank {score['rank']} of {score['members']}"
        f" ({evidence} pieces of evidence in the dimension{as_of})"
    )
    parts = score["parts"]
    for name, text in (
        ("seed_nano", "is a seed"),
        ("returned_nano", "returned to seeds by who trusts nobody"),
    ):
        if int(parts[name]):
            print_text(f"  {_decimal(parts[name])}  {text}")
    for one in parts["contributions"]:
        print_text(
            f"  {_decimal(one['amount_nano'])}  from principals/{one['principal']}, whose score is"
            f" {_decimal(one['score_nano'])} and trust {one['trust']}"
        )
        for piece in one["evidence"]:
            print_text(
                f"{'':15}{piece['kind']} {piece['weight']} on {_time(piece['occurred_time_ms'])},"
                f" {piece['source']}"
            )
        if int(one["others"]):
            print_text(
                f"{'':15}and {one['others']} more: fulfilled {one['others_fulfilled']},"
                f" failed {one['others_failed']}"
            )
    if int(parts["rest_members"]):
        print_text(f"  {_decimal(parts['rest_nano'])}  from {parts['rest_members']} others")


def _print_evidence(about: dict[str, Any]) -> None:
    """Failures first: a score may stay high over them."""
    counts = ", ".join(
        f"{len(about[kind])}{' or more' if about[f'has_more_{kind}'] else ''} {kind}"
        for kind in ("failed", "fulfilled")
    )
    print_text(f"{about['dimension']}, evidence about it: {counts}")
    for kind in ("failed", "fulfilled"):
        for piece in about[kind]:
            print_text(
                f"  {kind} {piece['weight']} on {_time(piece['occurred_time_ms'])},"
                f" as principals/{piece['who']} experienced, {piece['source']}"
            )


def _time(time_ms: str) -> str:
    """As people read it; a time that no calendar holds as it is."""
    return show_time(int(time_ms)) if int(time_ms) <= _CALENDAR_END_MS else f"{time_ms} ms"


def _decimal(nano: str) -> str:
    """A score of 10^-9 as a decimal number, exactly."""
    digits = nano.rjust(_SCORE_DECIMALS + 1, "0")
    return f"{digits[:-_SCORE_DECIMALS]}.{digits[-_SCORE_DECIMALS:]}"


def replay(
    file: Annotated[
        Path,
        typer.Option(
            "--in",
            metavar="FILE.csv[.gz]",
            help="Columns source,target,rating,time; - for standard input.",
            readable=False,
        ),
    ],
    predict_from: Annotated[
        str, typer.Option("--predict-from", metavar="SHARE", help="Share of the rows to learn from, 0 to 1.")
    ],
) -> None:
    """Predict each rating from those above it: one {"source","target","score"} per row from SHARE on.

    The score is how likely the rating is to be positive, from 0 to 1, an estimate. Rows count in file order.
    """
    share = Fraction(predict_from) if _SHARE.fullmatch(predict_from) else Fraction(-1)
    if not 0 <= share <= 1:
        raise UsageError(f"--predict-from: {predict_from[:40]!r} is not a decimal number from 0 to 1")
    from icn_trust.prediction import first_predicted
    from icn_trust.prediction import replay as predict
    from icn_trust.ratings import InvalidRatings, read_ratings

    try:
        ratings = read_ratings(io.StringIO(_text(file), newline=""))
    except InvalidRatings as error:
        raise Refused(f"{file}: {error}", "RATINGS_INVALID") from None
    if not ratings.is_in_order:
        say(f"icn: {file}: rows are not in order of time; they are taken in the order of the file")
    rows = ratings.rows
    first = first_predicted(len(rows), share)
    with progress("predicting", len(rows)) as shown:

        def answers() -> Iterator[dict[str, Any]]:
            for rating, score in zip(rows[first:], predict(rows, first, shown.update), strict=True):
                yield {"source": rating.source, "target": rating.target, "score": score}

        print_json_lines(answers())


def _text(path: Path) -> str:
    """The text of a file, unpacked where it is gzip. Raises Refused."""
    content = read_file(path, FILE_BYTES_MAX)
    if content.startswith(_GZIP_MAGIC):
        try:
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(FILE_BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"{path}: not a whole gzip file: {error}", "FILE_UNREADABLE") from None
        if len(content) > FILE_BYTES_MAX:
            raise Refused(f"{path}: unpacks to more than {FILE_BYTES_MAX} bytes", "FILE_TOO_LARGE")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refused(f"{path}: line {line}: not UTF-8", "RATINGS_INVALID") from None
