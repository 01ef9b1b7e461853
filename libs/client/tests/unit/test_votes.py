"""`icn vote` from outside: what is printed for a file and for a folder, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLT = b"3 2\n7 1 2 0\n2 2 0\n3 3 0\n0\nAna\nBert\nCleo\nBoard\n"
TIED = b"3 1\n[tie 3 2 1]\n2 1 0\n2 2 0\n3 3 0\n0\nAna\nBert\nCleo\n"
SOI = b"# NUMBER ALTERNATIVES: 2\n# ALTERNATIVE NAME 1: Ana\n# ALTERNATIVE NAME 2: Bert\n3: 2,1\n1: 1\n"


def count(
    *arguments: str, folder: Path, text: bytes = b"", method: str = "scottish-stv"
) -> subprocess.CompletedProcess[bytes]:
    return vote("count", "--method", method, *arguments, folder=folder, text=text)


def test_a_file_is_counted_stage_by_stage_with_exact_decimals(tmp_path: Path) -> None:
    (tmp_path / "board.blt").write_bytes(BLT)
    run = count("--in", "board.blt", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout) == {
        "quota": "5",
        "winners": [1, 2],
        "stages": [
            {"action": "elect", "candidates": [1], "totals": ["7.00000", "2.00000", "3.00000"]},
            {"action": "transfer", "candidates": [1], "totals": ["5.00000", "3.99997", "3.00000"]},
            {"action": "exclude", "candidates": [3], "totals": ["5.00000", "3.99997", "0.00000"]},
        ],
        "ties": [],
    }


def test_standard_input_is_counted_with_other_seats_and_places(tmp_path: Path) -> None:
    run = count("--in", "-", "--seats", "1", "--places", "0", folder=tmp_path, text=BLT)
    found = json.loads(run.stdout)
    assert (found["quota"], found["winners"]) == ("7", [1])
    assert found["stages"][0]["totals"] == ["7", "2", "3"]


def test_a_tie_is_a_result_and_lists_the_lot(tmp_path: Path) -> None:
    run = count("--in", "-", folder=tmp_path, text=TIED)
    assert run.returncode == 0
    assert json.loads(run.stdout)["ties"] == [
        {"stage": 2, "action": "exclude", "candidates": [1, 2], "chosen": 2, "by": "lot", "among": [1, 2]}
    ]


def test_the_format_follows_from_the_name_or_the_option(tmp_path: Path) -> None:
    (tmp_path / "board.soi").write_bytes(SOI)
    assert json.loads(count("--in", "board.soi", "--seats", "1", folder=tmp_path).stdout)["winners"] == [2]
    run = count("--in", "-", "--format", "soi", "--seats", "1", folder=tmp_path, text=SOI)
    assert json.loads(run.stdout)["winners"] == [2]


def test_a_file_without_seats_is_refused_unless_they_are_given(tmp_path: Path) -> None:
    run = count("--in", "-", "--format", "soi", folder=tmp_path, text=SOI)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: -: the file does not say how many seats there are; give --seats N\n"


def test_a_file_that_is_none_costs_one_sentence_with_its_line(tmp_path: Path) -> None:
    run = count("--in", "-", folder=tmp_path, text=BLT.replace(b"2 2 0", b"2 2 2 0"))
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: -: line 3: candidate 2 is ranked twice\n"
    run = count("--in", "-", "--seats", "4", folder=tmp_path, text=BLT)
    assert (run.returncode, run.stderr) == (1, b"icn: -: seats: 4 seats for 3 candidates\n")


def test_a_folder_gives_a_line_per_file_and_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "wards").mkdir()
    for name, content in {"a.blt": BLT, "b.blt": b"junk", "c.blt": TIED, ".hidden": b"junk"}.items():
        (tmp_path / "wards" / name).write_bytes(content)
    run = count("--in", "wards", "--jsonl", folder=tmp_path)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 1
    assert [one["file"] for one in found] == ["a.blt", "b.blt", "c.blt"]
    assert [one.get("winners") for one in found] == [[1, 2], None, [3]]
    assert sorted(found[1]) == ["error", "file"] and "line 1: " in found[1]["error"]
    (tmp_path / "wards" / "b.blt").unlink()
    assert count("--in", "wards", "--jsonl", folder=tmp_path).returncode == 0


@pytest.mark.parametrize("method", ["borda", "copeland", "minimax", "schulze", "ranked-pairs"])
def test_candidates_are_compared_in_pairs(tmp_path: Path, method: str) -> None:
    run = count("--in", "-", folder=tmp_path, text=BLT, method=method)
    assert (run.returncode, run.stderr) == (0, b"")
    found = json.loads(run.stdout)
    assert found.pop("scores") is not None
    assert found.pop("locked") == ([[2, 3], [1, 2], [1, 3]] if method == "ranked-pairs" else [])
    assert found == {
        "quota": None,
        "winners": [1],
        "stages": [],
        "ties": [],
        "candidates": [1, 2, 3],
        "above": [["0", "7", "7"], ["2", "0", "9"], ["3", "3", "0"]],
        "rounds": [],
    }


@pytest.mark.parametrize(
    ("option", "told"),
    [(("--seats", "2"), b"schulze elects one"), (("--places", "3"), b"schulze counts whole ballots")],
)
def test_what_only_transfers_have_is_refused_for_comparisons(
    tmp_path: Path, option: tuple[str, str], told: bytes
) -> None:
    run = count("--in", "-", *option, folder=tmp_path, text=BLT, method="schulze")
    assert run.returncode == 2
    assert told in run.stderr


RECORDS = b"count,rank1,rank2\n4,Ana,Bert\n3,Bert,over\n2,UWI,Bert\n1,over,Ana\n"
RULES = {
    "rules": {"overvoteRule": "alwaysSkipToNextRank", "winnerElectionMode": "singleWinnerMajority"},
    "candidates": ["Ana", "Bert", "Cleo"],
    "labels": {"overvote": "over", "skipped": "none", "undeclared_write_in": "UWI"},
}
PB = (
    b"META\nkey;value\nbudget;10\nvote_type;approval\nrule;equalshares/add1\nPROJECTS\nproject_id;cost\n"
    b"swings;6\nbench;3.5\npond;9\nVOTES\nvoter_id;vote\na;swings,bench\nb;bench\nc;pond\nd;swings\n"
)
APPROVALS = b"profile: [[0, 1], [0, 1], [2], [3]]\nnum_cand: 4\ncommitteesize: 2\n"


def vote(*arguments: str, folder: Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "icn_client.cli", "vote", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_cast_vote_records_are_counted_by_their_rules(tmp_path: Path) -> None:
    (tmp_path / "mayor.csv").write_bytes(RECORDS)
    (tmp_path / "rules.json").write_text(json.dumps(RULES))
    run = count("--in", "mayor.csv", "--rules", "rules.json", folder=tmp_path, method="irv")
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout) == {
        "quota": "5",
        "winners": [2],
        "stages": [
            {"action": "elect", "candidates": [], "totals": ["5", "3", "0", "2"]},
            {"action": "exclude", "candidates": [4], "totals": ["5", "5", "0", "0"]},
            {"action": "exclude", "candidates": [3], "totals": ["5", "5", "0", "0"]},
            {"action": "exclude", "candidates": [1], "totals": ["0", "9", "0", "0"]},
        ],
        "ties": [
            {"stage": 4, "action": "exclude", "candidates": [1, 2], "chosen": 1, "by": "lot", "among": [1, 2]}
        ],
    }


@pytest.mark.parametrize(
    ("method", "winners", "quota", "totals"),
    [
        ("wigm", [1, 2], "4.0001", ["4.0001", "4.9995", "3.0000"]),
        ("meek", [1, 2], "4.000000001", ["4.000000004", "4.999999996", "3.000000000"]),
        ("warren", [1, 2], "4.000000001", ["4.000000004", "4.999999996", "3.000000000"]),
        ("irv", [1], "7", None),
        ("plurality", [1], "", None),
        ("coombs", [1], "7", None),
    ],
)
def test_each_method_counts_the_same_ballots(
    tmp_path: Path, method: str, winners: list[int], quota: str, totals: list[str] | None
) -> None:
    run = count("--in", "-", folder=tmp_path, text=BLT, method=method)
    found = json.loads(run.stdout)
    assert (found["winners"], found["quota"]) == (winners, quota)
    assert totals is None or found["stages"][1]["totals"] == totals


def test_a_budget_is_spent_and_explained(tmp_path: Path) -> None:
    (tmp_path / "district.pb").write_bytes(PB)
    run = vote("budget", "--in", "district.pb", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    found = json.loads(run.stdout)
    assert (found["selected"], found["spent"], found["rule"]) == (["swings", "bench"], "9.5", "equal-shares")
    assert {verdict["project"]: verdict["reason"] for verdict in found["verdicts"]} == {
        "bench": "funded", "swings": "funded", "pond": "shares-too-small",
    }  # fmt: skip
    run = vote("budget", "--rule", "greedy", "--in", "-", folder=tmp_path, text=PB)
    assert json.loads(run.stdout)["selected"] == ["swings", "bench"]


def test_a_committee_is_elected_and_every_tied_one(tmp_path: Path) -> None:
    run = vote("committee", "--rule", "cc", "--in", "-", "--all", folder=tmp_path, text=APPROVALS)
    assert json.loads(run.stdout) == {"committees": [[0, 2], [0, 3], [1, 2], [1, 3]]}
    run = vote("committee", "--rule", "av", "--in", "-", folder=tmp_path, text=APPROVALS)
    assert json.loads(run.stdout) == {"committees": [[0, 1]]}
    run = vote("committee", "--rule", "av", "--size", "3", "--in", "-", folder=tmp_path, text=APPROVALS)
    assert json.loads(run.stdout) == {"committees": [[0, 1, 2]]}


def test_folders_of_budgets_and_committees_go_on_after_a_fault(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.pb").write_bytes(PB)
    (folder / "b.pb").write_bytes(PB.replace(b"3.5", b"none"))
    run = vote("budget", "--in", "files", "--jsonl", folder=tmp_path)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert (run.returncode, [line["file"] for line in lines]) == (1, ["a.pb", "b.pb"])
    assert "line 9: cost" in lines[1]["error"]


@pytest.mark.parametrize(
    ("arguments", "text", "status", "told"),
    [
        (("committee", "--rule", "eph", "--in", "-"), APPROVALS, 2, "'eph' is not one of"),
        (("committee", "--rule", "av", "--in", "-"), b"profile: [[0]", 1, "line 1: not YAML"),
        (("committee", "--rule", "av", "--in", "-"), b"[" * 50_000, 1, "not YAML"),
        (("committee", "--rule", "av", "--in", "-"), b"profile: [[4]]\nnum_cand: 4\n", 1, "profile[0]"),
        (("committee", "--rule", "av", "--in", "-"), b"profile: [[0]]\nnum_cand: 4\n", 1, "committeesize"),
        (("committee", "--rule", "av", "--in", "-"), b"num_cand: 1000000\nprofile: []\n", 1, "num_cand"),
        (("committee", "--rule", "av", "--in", "-"), APPROVALS + b"weights: [1]\n", 1, "weights: unknown"),
        (("committee", "--rule", "av", "--size", "5", "--in", "-"), APPROVALS, 1, "5 members of 4"),
        (("budget", "--rule", "fair", "--in", "-"), PB, 2, "'fair' is not one of"),
        (("budget", "--rule", "greedy", "--completion", "add1", "--in", "-"), PB, 2, "of equal-shares"),
        (("budget", "--in", "-"), PB.replace(b"equalshares/add1", b"lottery"), 1, "'lottery' is not one of"),
        (("count", "--method", "irv", "--places", "2", "--in", "-"), BLT, 2, "--places"),
        (("count", "--method", "coombs", "--seats", "2", "--in", "-"), BLT, 2, "--seats"),
        (("count", "--method", "meek", "--seats", "4", "--in", "-"), BLT, 1, "4 seats for 3"),
        (("committee", "--rule", "av", "--in", "-"), b"num_cand: !!int ''\n", 1, "num_cand: a whole number"),
        (("committee", "--rule", "av", "--in", "-"), b"num_cand: 4\nnum_cand: 5\n", 1, "line 2: 'num_cand'"),
        (("committee", "--rule", "av", "--in", "-"), b"num_cand: 4\nprofile: []\n", 1, "profile: a list"),
        (
            ("committee", "--rule", "av", "--in", "-"),
            APPROVALS.replace(b"[[", b"[&a [0], *a, ["),
            1,
            "an alias",
        ),
        (("budget", "--in", "-"), PB[: PB.index(b"a;swings")], 1, "there is no vote"),
        (("budget", "--in", "-"), PB.replace(b"budget;", b"budget;-"), 1, "line 3: budget: an amount"),
        (("count", "--method", "schulze", "--in", "-"), b"2 1\n0\nA\nB\n", 1, "line 2: there is no ballot"),
        (("count", "--method", "irv", "--in", "-"), b"1000000 2\n", 1, "line 1: 1000000 candidates"),
        (("count", "--method", "irv", "--in", "-"), b"2 1\n-1 2 0\n", 1, "line 2: a ballot begins with"),
        (
            ("count", "--method", "irv", "--format", "csv", "--in", "-"),
            b"rank2\n",
            1,
            "line 1: the column rank1",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], text: bytes, status: int, told: str
) -> None:
    run = vote(*arguments, folder=tmp_path, text=text)
    assert (run.returncode, run.stdout) == (status, b"")
    assert told in " ".join(run.stderr.decode().replace("│", " ").split())


def test_rules_are_refused_with_their_field(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps({**RULES, "candidates": []}))
    run = count("--in", "-", "--format", "csv", "--rules", "rules.json", folder=tmp_path, method="irv")
    assert run.returncode == 1 and b"candidates: a list" in run.stderr
    (tmp_path / "rules.json").write_text("{")
    run = count("--in", "-", "--format", "csv", "--rules", "rules.json", folder=tmp_path, method="irv")
    assert run.returncode == 1 and b"not JSON" in run.stderr
    (tmp_path / "rules.json").write_text(json.dumps(RULES))
    run = count("--in", "-", "--rules", "rules.json", folder=tmp_path, text=BLT, method="irv")
    assert run.returncode == 1 and b"--rules are for cast-vote records" in run.stderr


def test_a_stage_sheet_is_written_as_a_page_or_as_csv(tmp_path: Path) -> None:
    (tmp_path / "board.blt").write_bytes(BLT)
    assert count("--in", "board.blt", "--sheet", "board.html", folder=tmp_path).returncode == 0
    page = (tmp_path / "board.html").read_text()
    assert "<title>Board</title>" in page and "3.99997" in page and "Stage 3. Excluded: Cleo" in page
    assert count("--in", "board.blt", "--sheet", "board.csv", folder=tmp_path).returncode == 0
    assert (tmp_path / "board.csv").read_text().splitlines()[1] == "Ana,7.00000,5.00000,5.00000"
    run = count("--in", "board.blt", "--sheet", "no/board.csv", folder=tmp_path)
    assert run.returncode == 1 and b"No such file" in run.stderr and run.stdout == b""
    assert count("--in", "board.blt", "--sheet", "x.csv", folder=tmp_path, method="borda").returncode == 0
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        ",above Ana,above Bert,above Cleo,score",
        "Ana,0,7,7,9",
        "Bert,2,0,9,1",
        "Cleo,3,3,0,-10",
    ]
    assert count("--in", ".", "--jsonl", "--sheet", "x.csv", folder=tmp_path).returncode == 2


POINTS = b"count,Ana,Bert,Cleo\n3,5,4,\n2,,3,5\n1,0,5,1\n"


@pytest.mark.parametrize(
    ("method", "parameters", "winners", "scores"),
    [
        ("score", {"highest": 5, "seats": 2}, [2, 1], ["15", "23", "11"]),
        ("star", {"highest": 5}, [2], ["15", "23", "11"]),
        ("majority-judgment", {"highest": 5}, [2], ["0", "4", "0"]),
        ("cumulative", {"points": 9}, [2], ["15", "23", "11"]),
        ("quadratic", {"credits": 41}, [2], ["15", "23", "11"]),
    ],
)
def test_points_are_counted_by_columns(
    tmp_path: Path, method: str, parameters: dict[str, int], winners: list[int], scores: list[str]
) -> None:
    (tmp_path / "menu.csv").write_bytes(POINTS)
    run = count(
        "--in",
        "menu.csv",
        "--parameters",
        json.dumps(parameters),
        "--explain",
        folder=tmp_path,
        method=method,
    )
    assert (run.returncode, run.stderr) == (0, b"")
    found = json.loads(run.stdout)
    assert (found["winners"], found["scores"], found["stages"]) == (winners, scores, [])
    assert found["explanation"][-1].startswith("Elected: Bert")


def test_parameters_choose_the_other_reading_of_a_tie_and_are_refused_by_name(tmp_path: Path) -> None:
    run = count("--in", "-", "--parameters", '{"ties":"all-unequal"}', folder=tmp_path, text=TIED)
    assert run.returncode == 0
    run = count("--in", "-", "--parameters", '{"ties":"both"}', folder=tmp_path, text=TIED)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: -: ties: one of narrowing, all-unequal is expected\n"
    for text in ("[]", "{", "9" * 70_000):
        assert count("--in", "-", "--parameters", text, folder=tmp_path, text=TIED).returncode == 2


def test_how_close_a_result_is_can_be_asked(tmp_path: Path) -> None:
    run = count("--in", "-", "--closeness", "2000", "--seats", "1", folder=tmp_path, text=BLT, method="irv")
    found = json.loads(run.stdout)["closeness"]
    assert (found["at_least"], found["at_most"], found["winners"]) == ("2", "2", [3])
    run = count("--in", "-", "--closeness", "9", folder=tmp_path, text=BLT, method="approval")
    assert run.returncode == 2


def test_committees_and_budgets_are_explained_too(tmp_path: Path) -> None:
    run = vote("committee", "--rule", "av", "--in", "-", "--explain", folder=tmp_path, text=APPROVALS)
    assert json.loads(run.stdout)["explanation"][-1] == "Elected: 0 and 1."
    run = vote("budget", "--in", "-", "--explain", "--sheet", "b.csv", folder=tmp_path, text=PB)
    assert json.loads(run.stdout)["explanation"][0] == "The budget is 10; rule equal-shares."
    assert (tmp_path / "b.csv").read_text().startswith(",cost,score,verdict,left,price")


def test_the_command_counts_by_every_rule_of_the_library() -> None:
    from icn_client.cli.votes import METHODS
    from icn_tally import tallies

    assert {*METHODS} == {*tallies.IN_STAGES, *tallies.IN_PAIRS, *tallies.BY_SCORES}


UNITS = b"name,votes\nNorth,53\nSouth,24\nWest,23\n"
POOL = b"name,age\nAna,old\nBert,old\nCleo,young\nDora,old\n"
QUOTAS = b"feature,value,min,max\nage,old,1,1\nage,young,1,1\n"


def test_seats_are_given_out_in_proportion(tmp_path: Path) -> None:
    (tmp_path / "units.csv").write_bytes(UNITS)
    run = vote(
        *("apportion", "--rule", "hamilton", "--seats", "7", "--in", "units.csv", "--explain"),
        folder=tmp_path,
    )
    found = json.loads(run.stdout)
    assert [row["seats"] for row in found["seats"]] == [4, 2, 1]
    assert (found["tied"], found["explanation"][1]) == ([], "North: 4 seats for 53 votes.")
    run = vote("apportion", "--rule", "hare", "--seats", "7", "--in", "units.csv", folder=tmp_path)
    assert run.returncode == 2
    (tmp_path / "units.csv").write_bytes(UNITS.replace(b"24", b"many"))
    run = vote("apportion", "--rule", "dhondt", "--seats", "7", "--in", "units.csv", folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: units.csv: line 3: votes: a whole number is expected, not 'many'\n"


def test_a_panel_is_drawn_within_quotas(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_bytes(POOL)
    (tmp_path / "quotas.csv").write_bytes(QUOTAS)
    asked = ("panel", "--size", "2", "--in", "pool.csv", "--quotas", "quotas.csv")
    run = vote(*asked, "--id", "name", "--ticket", "0", "--explain", folder=tmp_path)
    assert run.returncode == 0
    found = json.loads(run.stdout)
    assert sorted(map(sorted, found["panels"])) == [["Ana", "Cleo"], ["Bert", "Cleo"], ["Cleo", "Dora"]]
    assert sum(found["tickets"]) == 1_000_000 and max(found["tickets"]) - min(found["tickets"]) <= 1
    assert found["panel"] == found["panels"][0]
    assert found["explanation"][0].startswith("3 panels that keep the quotas")
    assert json.loads(vote(*asked, folder=tmp_path).stdout)["panels"][0][1] == "3"
    run = vote(*asked, "--id", "email", folder=tmp_path)
    assert (run.returncode, run.stderr) == (1, b"icn: pool.csv: email: the pool has no such column\n")
    (tmp_path / "quotas.csv").write_bytes(QUOTAS.replace(b"young,1,1", b"young,2,2"))
    run = vote(*asked, folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"") and b"no panel" in run.stderr
