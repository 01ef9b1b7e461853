"""Real elections: what was declared, and what another program counted."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from icn_tally.blt import read_blt
from icn_tally.contest import Contest
from icn_tally.preflib import read_preflib
from icn_tally.scottish_stv import Count, ScottishStv, TieRule, count

pytestmark = pytest.mark.vectors

MISPRINTS_MAX = 2
"""Of all wards together; each is shown to be one by what was printed for the next stage."""


def counted(contest: Contest, ties: TieRule = "narrowing") -> Count:
    assert contest.seats is not None
    order = contest.lot_order or range(1, len(contest.ballots.candidates) + 1)
    return count(ScottishStv(contest.seats, ties=ties), contest.ballots, order)


def ballot_files(archive: Path, folder: str = "") -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if name.endswith(".blt") and folder in name:
                yield name.rpartition("/")[2], files.read(name)


def is_printed_as(votes: str, printed: str) -> bool:
    """Whether a total could have been printed so; some councils printed fewer places."""
    exact, shown = Decimal(votes), Decimal(printed)
    places = -int(shown.as_tuple().exponent)
    if places <= 0:
        return exact == shown
    return abs(exact - shown) * 2 <= Decimal(10) ** -min(places, 5) if places < 5 else exact == shown


def differing(count: Count, ward: dict[str, Any]) -> list[tuple[int, int, str, str]]:
    """Stage, candidate, our total, the declared one."""
    found = []
    for number, stage in enumerate(count.stages, start=1):
        declared = ward["stage_totals"][str(number)]
        for candidate, (ours, theirs) in enumerate(
            zip(count.written(stage.totals), declared, strict=True), 1
        ):
            if not is_printed_as(ours, theirs or "0"):
                found.append((number, candidate, ours, theirs))
    return found


def test_winners_quotas_and_stage_tables_of_scottish_wards_are_as_declared(
    shared_data: Callable[[str], Path],
) -> None:
    folder = shared_data("stv-scotland-2017")
    declared = json.loads(gzip.decompress((folder / "declared.json.gz").read_bytes()))
    misprints = []
    wards = 0
    for name, content in ballot_files(folder / "ballots.zip"):
        ward = declared[name]
        found = counted(read_blt(content))
        elected = [
            {"candidate": candidate, "stage": number}
            for number, stage in enumerate(found.stages, start=1)
            for candidate in stage.elected
        ]
        assert elected == ward["elected"], name
        assert [*found.winners] == [one["candidate"] for one in ward["elected"]], name
        assert (found.quota, str(found.valid)) == (ward["quota"], ward["valid_poll"]), name
        assert len(found.stages) == len(ward["stage_totals"]), name
        assert counted(read_blt(content), "all-unequal").stages == found.stages, name
        cells = differing(found, ward)
        # A misprint is one number: had a vote gone astray, the stages after it would differ as well.
        assert len(cells) <= 1 and all(cell[0] < len(found.stages) for cell in cells), (name, cells)
        misprints += [(name, *cell) for cell in cells]
        wards += 1
    assert wards == len(declared)
    assert len(misprints) <= MISPRINTS_MAX, misprints
    print(f"{wards} wards; misprints: {misprints}")


def test_every_file_of_2012_is_read_and_counted(shared_data: Callable[[str], Path]) -> None:
    files = 0
    for name, content in ballot_files(shared_data("stv-scotland-2012-ballots") / "ballots.zip"):
        contest = read_blt(content)
        found = counted(contest)
        assert len(found.winners) == contest.seats, name
        files += 1
    assert files > 0


class Sheet:
    """A count of the other program: rows of numbered columns, withdrawn candidates left out."""

    def __init__(self, text: str, numbers: tuple[int, ...]) -> None:
        self.rows = [*csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)]
        self.numbers = numbers

    def votes(self, row: dict[str, str]) -> list[Decimal]:
        cells = [row[f"{number}.vote"] for number in self.numbers]
        return [*map(Decimal, [*cells, row["Non-Transferable"]])]

    def with_state(self, row: dict[str, str], state: str) -> set[int]:
        return {number for number in self.numbers if row[f"{number}.state"] == state}

    def stages(self) -> list[list[Decimal]]:
        """It makes a stage of a surplus of nothing, too; the order does not, so these are passed over."""
        found: list[list[Decimal]] = []
        defeated: set[int] = set()
        for row in self.rows:
            if row["Action"] in ("begin", "transfer"):
                votes, now_defeated = self.votes(row), self.with_state(row, "D")
                if not found or votes != found[-1] or now_defeated != defeated:
                    found.append(votes)
                defeated = now_defeated
        return found


def test_counts_of_another_program_have_the_same_stages(shared_data: Callable[[str], Path]) -> None:
    archive = shared_data("stv-reference-counts") / "counts.zip"
    contests = dict(ballot_files(archive))
    compared = 0
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            stem, is_scottish, _ = name.rpartition("/")[2].partition("-scotland-")
            if not is_scottish:
                continue
            contest = read_blt(contests[f"{stem}.blt"])
            found = counted(contest)
            numbers = contest.ballots.standing()
            sheet = Sheet(files.read(name).decode(), numbers)
            stages = []
            for stage in found.stages:
                votes = [*(stage.totals[number - 1] for number in numbers), stage.non_transferable]
                stages.append([*map(Decimal, found.written(votes))])
            assert stages == sheet.stages(), name
            assert {*found.winners} == sheet.with_state(sheet.rows[-1], "E"), name
            assert Decimal(sheet.rows[-1]["Quota"]) == found.quota, name
            compared += 1
    assert compared > 0
    print(f"{compared} counts")


def test_preflib_files_are_read_whole(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("preflib-burlington-irish")
    facts = json.loads((folder / "facts.json").read_text())
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if not name.endswith((".soi", ".toi")):
            continue
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        contest = read_preflib(content, name[-3:])
        if name in facts:
            assert contest.ballots.total_weight == facts[name]["ballots"]
        assert count(ScottishStv(3), contest.ballots, range(1, len(contest.ballots.candidates) + 1)).winners
