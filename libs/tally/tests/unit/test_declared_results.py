"""Real elections: what was declared, and what another program counted."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from icn_tally import meek, runoff, wigm
from icn_tally.ballots import ranked_ballots
from icn_tally.blt import read_blt
from icn_tally.budgets import Spending, spend
from icn_tally.cast_vote_records import read_cast_vote_records
from icn_tally.committees.elect import RULES as COMMITTEE_RULES
from icn_tally.committees.elect import elect_committee
from icn_tally.contest import Contest
from icn_tally.meek import Meek
from icn_tally.pabulib import read_pabulib
from icn_tally.preflib import read_preflib
from icn_tally.rctab_rules import counting_rules
from icn_tally.runoff import Runoff
from icn_tally.scottish_stv import ScottishStv, count
from icn_tally.stages import Count, TieRule
from icn_tally.wigm import Wigm

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
        assert (found.quota, str(found.valid)) == (str(ward["quota"]), ward["valid_poll"]), name
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
            assert Decimal(sheet.rows[-1]["Quota"]) == Decimal(found.quota), name
            compared += 1
    assert compared > 0
    print(f"{compared} counts")


def reference_counts(archive: Path) -> Iterator[tuple[str, str, bytes, str]]:
    """Name of the ballots, rule with its arithmetic, the ballots' file and the sheet of each reference
    count."""
    contests = dict(ballot_files(archive))
    with zipfile.ZipFile(archive) as files:
        for path in sorted(files.namelist()):
            name = path.rpartition("/")[2]
            for stem in sorted((found.removesuffix(".blt") for found in contests), key=len, reverse=True):
                if path.startswith("expected/") and name.startswith(f"{stem}-"):
                    rule = name.removeprefix(f"{stem}-").removesuffix(".txt")
                    yield stem, rule, contests[f"{stem}.blt"], files.read(path).decode()
                    break


def lots_of(contest: Contest) -> Sequence[int]:
    return contest.lot_order or range(1, len(contest.ballots.candidates) + 1)


def standing_totals(found: Count, numbers: Sequence[int]) -> list[list[Decimal]]:
    return [
        [*map(Decimal, found.written([stage.totals[number - 1] for number in numbers]))]
        for stage in found.stages
    ]


def test_counts_by_wigm_have_the_stages_of_another_program(shared_data: Callable[[str], Path]) -> None:
    """With four places; its last exclusion of several is not carried out, so that votes are compared
    before."""
    compared = 0
    for stem, rule, content, text in reference_counts(shared_data("stv-reference-counts") / "counts.zip"):
        if not rule.startswith("wigm-prf"):
            continue
        contest = read_blt(content)
        assert contest.seats is not None
        batch = "batch" in rule
        parameters = Wigm(contest.seats, exclusion="sure-losers" if batch else "one")
        found = wigm.count(parameters, contest.ballots, lots_of(contest))
        numbers = contest.ballots.standing()
        sheet = Sheet(text, numbers)
        theirs = [sheet.votes(row)[:-1] for row in sheet.rows if row["Action"] in ("begin", "transfer")]
        ours = standing_totals(found, numbers)
        assert ours[: len(theirs)] == theirs and len(ours) - len(theirs) in (0, batch), (stem, rule)
        assert {*found.winners} == sheet.with_state(sheet.rows[-1], "E"), (stem, rule)
        assert Decimal(sheet.rows[-1]["Quota"]) == Decimal(found.quota), (stem, rule)
        compared += 1
    assert compared > 0
    print(f"{compared} counts")


def test_counts_by_meek_have_the_stages_of_another_program(shared_data: Callable[[str], Path]) -> None:
    """With nine places. It ends without distributing the votes of the last one excluded; we show them."""
    compared = 0
    for stem, rule, content, text in reference_counts(shared_data("stv-reference-counts") / "counts.zip"):
        if not rule.startswith("meek-prf"):
            continue
        contest = read_blt(content)
        assert contest.seats is not None
        found = meek.count(Meek("meek", contest.seats), contest.ballots, lots_of(contest))
        numbers = contest.ballots.standing()
        rows = [*csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)]
        theirs = [
            [Decimal(row[f"{number}.vote"]) for number in numbers]
            for row in rows
            if row["Action"] in ("elect", "defeat", "end")
        ]
        missing = [votes for votes in standing_totals(found, numbers) if votes not in theirs]
        assert not missing, (stem, missing)
        elected = {number for number in numbers if rows[-1][f"{number}.state"] == "E"}
        assert {*found.winners} == elected, stem
        compared += 1
    assert compared > 0
    print(f"{compared} counts")


EXACT_TIES = {"42t"}
"""Two candidates tie exactly in fractions without end, and the second in the file's order of lots is elected.
In decimals the quota is a unit of the last place more, one of them has less, and nobody is tied."""


def test_fractions_without_end_elect_whom_decimals_elect(shared_data: Callable[[str], Path]) -> None:
    compared = 0
    for stem, rule, content, text in reference_counts(shared_data("stv-reference-counts") / "counts.zip"):
        family, _, arithmetic = rule.partition("-")
        if "rational" not in arithmetic and "guarded" not in arithmetic:
            continue
        if family not in {"wigm", "meek", "warren"}:
            continue
        contest = read_blt(content)
        assert contest.seats is not None
        lots = lots_of(contest)
        if family == "wigm":
            found = wigm.count(Wigm(contest.seats, places=9), contest.ballots, lots)
        else:
            found = meek.count(Meek(family, contest.seats, 18, 9), contest.ballots, lots)
        rows = [*csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)]
        numbers = contest.ballots.standing()
        elected = {number for number in numbers if rows[-1][f"{number}.state"] == "E"}
        assert ({*found.winners} == elected) == (stem not in EXACT_TIES), (stem, rule)
        compared += 1
    assert compared > 0
    print(f"{compared} counts, of which those of {EXACT_TIES} differ as explained")


def test_minneapolis_is_counted_as_the_reference_tabulator_does(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("rcv-minneapolis")
    compared = 0
    for path in sorted(folder.glob("*.expected.json")):
        form = json.loads(path.read_text())
        expected = form.pop("expected")["results"]
        rules = counting_rules(form)
        records = gzip.decompress((folder / path.name.replace(".expected.json", ".csv.gz")).read_bytes())
        ballots = read_cast_vote_records(records, rules.marks).ballots
        names = [
            "Undeclared Write-ins" if name == rules.marks.write_in else name for name in ballots.candidates
        ]
        found = runoff.count(
            Runoff.from_form(rules.rule, rules.parameters), ballots, range(1, len(names) + 1)
        )
        for stage, theirs in zip(found.stages, expected, strict=True):
            ours = {name: str(votes) for name, votes in zip(names, stage.totals, strict=True)}
            assert {name: ours[name] for name in theirs["tally"]} == theirs["tally"]
            assert {votes for name, votes in ours.items() if name not in theirs["tally"]} <= {"0"}
        assert found.quota == expected[-1]["threshold"]
        compared += 1
    assert compared > 0


def test_projects_that_were_funded_are_funded(shared_data: Callable[[str], Path]) -> None:
    compared: Counter[str] = Counter()
    with zipfile.ZipFile(shared_data("participatory-budgeting") / "pb.zip") as files:
        for name in sorted(files.namelist()):
            content = files.read(name)
            budgeting = read_pabulib(content)
            assert budgeting.rule is not None
            is_shares = budgeting.rule == "equalshares/add1"
            rule = "equal-shares" if is_shares else budgeting.rule
            spending = Spending(
                rule, threshold=0 if rule in ("greedy", "equal-shares") else budgeting.threshold
            )
            found = spend(spending, budgeting, range(1, len(budgeting.ids) + 1))
            assert {budgeting.ids[number - 1] for number in found.selected} == officially_funded(content), (
                name
            )
            compared[rule] += 1
    assert compared.total() > 0
    print(dict(compared))


def officially_funded(content: bytes) -> set[str]:
    lines = content.decode("utf-8-sig").splitlines()
    projects = lines[lines.index("PROJECTS") + 1 : lines.index("VOTES")]
    return {
        row["project_id"] for row in csv.DictReader(projects, delimiter=";") if row["selected"].strip() == "1"
    }


FLOATS = {("instanceS0003.abc.yaml", "sav")}
"""Candidates 2 and 5 have 29/20 each; the reference adds floats, and misses the tie."""


def test_committees_are_those_of_the_reference(shared_data: Callable[[str], Path]) -> None:
    compared: Counter[str] = Counter()
    left_out: set[str] = set()
    with zipfile.ZipFile(shared_data("abc-approval-committees") / "instances.zip") as files:
        for name in sorted(files.namelist()):
            document = yaml.load(files.read(name), yaml.CSafeLoader)
            numbers = range(1, document["num_cand"] + 1)
            bundles = [([[one + 1 for one in ballot]] if ballot else [], 1) for ballot in document["profile"]]
            ballots = ranked_ballots([str(number) for number in numbers], bundles)
            for wanted in document["compute"]:
                rule, expected = wanted["rule_id"], wanted["result"]
                if rule not in COMMITTEE_RULES or expected is None:
                    left_out.add(rule)
                    continue
                every = not wanted["resolute"]
                found = elect_committee(rule, document["committeesize"], ballots, numbers, every=every)
                ours = [[number - 1 for number in members] for members in found.committees]
                theirs = sorted(sorted(members) for members in expected)
                agrees = ours == theirs if every else ours[0] in theirs
                assert agrees == (not every or (name, rule) not in FLOATS), (name, rule, every)
                compared[rule] += 1
    assert compared.total() > 0
    print(f"{compared.total()} committees; without a rule or an expected result: {sorted(left_out)}")


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
