"""`icn reputation`: predictions from a file of ratings, offline, on the engine that the service uses."""

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

from icn_client.cli.common import command_group
from icn_client.cli.files import FILE_BYTES_MAX, read_file
from icn_client.cli.output import Refused, UsageError, print_json_lines, progress, say

_GZIP_MAGIC = b"\x1f\x8b"
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}")
_EXAMPLES = """\b
Examples:
  icn reputation replay --in ratings.csv --predict-from 0.8
"""


def register(app: typer.Typer) -> None:
    """Add `reputation`."""
    group = command_group("Reputation, explained and predicted.", _EXAMPLES)
    group.callback()(lambda: None)  # so that the only command keeps its name
    group.command("replay", epilog=_EXAMPLES)(replay)
    app.add_typer(group, name="reputation")


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
