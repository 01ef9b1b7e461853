"""The vectors of docs/spec/vectors/proof, read by the light client and by a second verifier."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_client.light.verify import verdict
from icn_crypto.proof_files import verify_proof as verify_other
from icn_kit.genesis import parse_genesis

from libs.client.tests.proof_vectors import FOLDER, KINDS, text_of, vectors
from libs.client.tests.unit import proof_reader

GENESIS: Final = (FOLDER / "genesis.json").read_bytes()
CASES: Final = [
    pytest.param(case, id=f"{kind}: {case['name']}")
    for kind in KINDS
    for case in json.loads((FOLDER / f"{kind}.json").read_bytes())
]


def given_files(case: Any) -> tuple[bytes, bytes | None]:
    checkpoint = case["checkpoint"]
    return case["file"].encode(), None if checkpoint is None else checkpoint.encode()


@pytest.mark.parametrize("case", CASES)
def test_the_light_client_answers_as_the_vector_says(case: Any) -> None:
    file, checkpoint = given_files(case)
    answer = verdict(file, parse_genesis(GENESIS), case["now_ms"], checkpoint=checkpoint)
    assert bool(answer.pop("message", "")) is not answer["valid"]
    assert answer == case["answer"]


@pytest.mark.parametrize("case", CASES)
def test_a_verifier_written_from_the_document_answers_the_same(case: Any) -> None:
    file, checkpoint = given_files(case)
    answer = proof_reader.judge(file, json.loads(GENESIS), case["now_ms"], checkpoint)
    said, expected = answer.pop("statement", None), dict(case["answer"])
    statement = expected.pop("statement")
    assert answer == expected
    if said:
        assert said == {name: statement[name] for name in said}
    assert (said is None) is (statement is None)


def test_the_second_verifier_has_nothing_of_the_platform() -> None:
    tree = ast.parse(Path(proof_reader.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for one in ast.walk(tree)
        if isinstance(one, ast.Import | ast.ImportFrom)
        for name in (
            [one.module or ""] if isinstance(one, ast.ImportFrom) else [alias.name for alias in one.names]
        )
    }
    assert not [name for name in imported if name.startswith(("icn", "libs", "google"))]


@pytest.mark.parametrize(
    "case", json.loads((FOLDER / "ics23.json").read_bytes()), ids=lambda case: case["name"]
)
def test_an_export_is_valid_where_the_vector_says_so(case: Any) -> None:
    assert verify_other("ics23", case["form"])["valid"] is case["answer"]["valid"]


@pytest.mark.parametrize("kind", [*KINDS, "ics23"])
def test_every_kind_has_valid_and_invalid_files(kind: str) -> None:
    verdicts = [case["answer"]["valid"] for case in json.loads((FOLDER / f"{kind}.json").read_bytes())]
    assert True in verdicts and verdicts.count(False) > 2


def test_the_vectors_are_those_that_the_script_makes() -> None:
    made = vectors()
    assert sorted(made) == sorted(path.name for path in FOLDER.iterdir())
    for name, content in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text_of(content), name


def test_both_verifiers_agree_on_every_flipped_bit() -> None:
    valid = [case for param in CASES if (case := param.values[0])["answer"]["valid"]]
    genesis, document = parse_genesis(GENESIS), json.loads(GENESIS)

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(valid), st.data())
    def flip(case: Any, data: st.DataObject) -> None:
        file, checkpoint = given_files(case)
        changed = bytearray(file)
        changed[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        answer = verdict(bytes(changed), genesis, case["now_ms"], checkpoint=checkpoint)
        other = proof_reader.judge(bytes(changed), document, case["now_ms"], checkpoint)
        assert answer["valid"] is other["valid"]

    flip()
