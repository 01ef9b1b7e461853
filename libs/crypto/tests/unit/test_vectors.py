"""Official vectors: Wycheproof, NIST ACVP, RFC 8785, RFC 9162 proofs and ICS-23, read where they lie."""

import base64
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from icn_crypto import ics23, jcs, mldsa
from icn_crypto.batch import decapsulate_lines, public_key_lines, verify_lines
from icn_crypto.ics23_message import ExistenceProof, InnerOp, LeafOp
from icn_crypto.proof_files import verify_proof

pytestmark = pytest.mark.vectors

SharedData = Callable[[str], Path]


def read_gzip(path: Path) -> Any:
    with gzip.open(path) as file:
        return json.load(file)


def groups_of(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in read_gzip(path)["testGroups"]:
        for test in group["tests"]:
            yield group, test


def expect(verdicts: dict[int, bool], expected: dict[int, bool]) -> None:
    wrong = {case for case, verdict in verdicts.items() if verdict is not expected[case]}
    assert verdicts
    assert not wrong


def wycheproof_files(shared_data: SharedData, pattern: str) -> list[Path]:
    found = sorted(shared_data("wycheproof").glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} among the Wycheproof vectors")
    return found


def test_wycheproof_ed25519(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "ed25519*_test.json.gz"):
        cases = list(groups_of(path))
        lines = [
            {"alg": "ed25519", "pk": group["publicKey"]["pk"], "msg": test["msg"], "sig": test["sig"]}
            for group, test in cases
        ]
        verdicts = {
            test["tcId"]: answer["valid"]
            for (_, test), answer in zip(cases, verify_lines(lines), strict=True)
        }
        expect(verdicts, {test["tcId"]: test["result"] == "valid" for _, test in cases})


def test_wycheproof_ed25519_by_the_chains_rule_differs_in_encodings_only(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "ed25519*_test.json.gz"):
        cases = list(groups_of(path))
        lines = [
            {"alg": "ed25519-zip215", "pk": group["publicKey"]["pk"], "msg": test["msg"], "sig": test["sig"]}
            for group, test in cases
        ]
        for (_, test), answer in zip(cases, verify_lines(lines), strict=True):
            if answer["valid"] is not (test["result"] == "valid"):
                assert answer["valid"]
                assert "InvalidEncoding" in test["flags"]


def test_wycheproof_ml_dsa_verification(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "mldsa_*_verify_test.json.gz"):
        algorithm = f"ml-dsa-{path.name.split('_')[1]}"
        cases = list(groups_of(path))
        lines = [
            {
                "alg": algorithm,
                "pk": group["publicKey"],
                "msg": test["msg"],
                "sig": test["sig"],
                "ctx": test.get("ctx", ""),
            }
            for group, test in cases
        ]
        verdicts = {
            test["tcId"]: answer["valid"]
            for (_, test), answer in zip(cases, verify_lines(lines), strict=True)
        }
        expect(verdicts, {test["tcId"]: test["result"] == "valid" for _, test in cases})


def test_wycheproof_ml_dsa_keys_and_signatures_from_seeds(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "mldsa_*_sign_seed_test.json.gz"):
        algorithm = f"ml-dsa-{path.name.split('_')[1]}"
        for group, test in groups_of(path):
            (answer,) = public_key_lines([{"alg": algorithm, "seed": group["privateSeed"]}])
            if test["result"] != "valid":
                # What is wrong with it is the seed's length or the context's.
                assert ("pk" in answer) is (len(group["privateSeed"]) == 64)
                continue
            assert answer == {"pk": group["publicKey"]}
            if "msg" in test:
                line = {"alg": algorithm, "pk": answer["pk"], "ctx": test.get("ctx", "")}
                line |= {"msg": test["msg"], "sig": test["sig"]}
                assert verify_lines([line]) == [{"valid": True}]


def test_wycheproof_ml_kem_decapsulation(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "mlkem_*_test.json.gz"):
        for group, test in groups_of(path):
            algorithm = group["parameterSet"].lower()
            if algorithm == "ml-kem-512" or "c" not in test or not {"seed", "dk"} & test.keys():
                continue
            private = {"seed": test["seed"]} if "seed" in test else {"sk": test["dk"]}
            (answer,) = decapsulate_lines([{"alg": algorithm, "ct": test["c"], **private}])
            if test["result"] == "valid":
                assert answer == {"shared": test["K"]}, test["tcId"]
            else:
                assert "error" in answer, test["tcId"]


def test_wycheproof_ml_kem_keys_from_seeds(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "mlkem_*_keygen_seed_test.json.gz"):
        for group, test in groups_of(path):
            (answer,) = public_key_lines([{"alg": group["parameterSet"].lower(), "seed": test["seed"]}])
            assert answer == {"pk": test["ek"]} if test["result"] == "valid" else "error" in answer


def test_wycheproof_x25519(shared_data: SharedData) -> None:
    for path in wycheproof_files(shared_data, "x25519_test.json.gz"):
        for _, test in groups_of(path):
            (answer,) = decapsulate_lines([{"alg": "x25519", "sk": test["private"], "ct": test["public"]}])
            if set(test["shared"]) == {"0"}:
                assert test["result"] != "valid"
                assert "error" in answer
            else:
                assert answer == {"shared": test["shared"]}, test["tcId"]


def test_acvp_ml_dsa_key_generation(shared_data: SharedData) -> None:
    for group, test in groups_of(shared_data("acvp-pqc") / "ML-DSA-keyGen-FIPS204.json.gz"):
        (answer,) = public_key_lines([{"alg": group["parameterSet"].lower(), "seed": test["prompt"]["seed"]}])
        assert answer == {"pk": test["expected"]["pk"].lower()}


def test_acvp_ml_dsa_verification(shared_data: SharedData) -> None:
    # These vectors are of ML-DSA.Verify_internal: the message stands where pure mode has 0 ‖ 0 ‖ message.
    for group, test in groups_of(shared_data("acvp-pqc") / "ML-DSA-sigVer-FIPS204.json.gz"):
        public_key = bytes.fromhex(group["pk"])
        digest = hashlib.shake_256(public_key).digest(64)
        mu = hashlib.shake_256(digest + bytes.fromhex(test["prompt"]["message"])).digest(64)
        signature = bytes.fromhex(test["prompt"]["signature"])
        valid = mldsa.verify_mu(mldsa.ParameterSet(group["parameterSet"].lower()), public_key, mu, signature)
        assert valid is test["expected"]["testPassed"], test["expected"]["tcId"]


def test_acvp_ml_kem_key_generation(shared_data: SharedData) -> None:
    for group, test in groups_of(shared_data("acvp-pqc") / "ML-KEM-keyGen-FIPS203.json.gz"):
        if group["parameterSet"] != "ML-KEM-512":
            seed = test["prompt"]["d"] + test["prompt"]["z"]
            (answer,) = public_key_lines([{"alg": group["parameterSet"].lower(), "seed": seed}])
            assert answer == {"pk": test["expected"]["ek"].lower()}


def test_acvp_ml_kem_decapsulation(shared_data: SharedData) -> None:
    opened = 0
    for group, test in groups_of(shared_data("acvp-pqc") / "ML-KEM-encapDecap-FIPS203.json.gz"):
        if group["function"] == "decapsulation" and group["parameterSet"] != "ML-KEM-512":
            line = {"alg": group["parameterSet"].lower(), "sk": group["dk"], "ct": test["prompt"]["c"]}
            assert decapsulate_lines([line]) == [{"shared": test["expected"]["k"].lower()}]
            opened += 1
    assert opened


def test_rfc_8785_inputs_have_their_published_form(shared_data: SharedData) -> None:
    folder = shared_data("jcs-rfc8785")
    inputs = sorted((folder / "input").glob("*.json"))
    assert inputs
    for path in inputs:
        canonical = jcs.canonicalize_text(path.read_bytes())
        assert canonical == bytes.fromhex((folder / "outhex" / f"{path.stem}.txt").read_text())
        assert canonical == jcs.canonicalize_text((folder / "output" / path.name).read_bytes())


MERKLE_KINDS = {
    "inclusion": "inclusion",
    "consistency": "consistency",
    "subtreeinclusion": "subtree-inclusion",
    "subtreeconsistency": "subtree-consistency",
}


def test_rfc_9162_proofs_have_their_published_verdicts(shared_data: SharedData) -> None:
    with zipfile.ZipFile(shared_data("merkle-rfc6962") / "proofs.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        seen = set()
        for name in names:
            kind = MERKLE_KINDS[name.split("/")[0]]
            form = json.loads(archive.read(name))
            assert verify_proof(kind, form)["valid"] is not form["wantErr"], name
            seen.add((kind, form["wantErr"]))
    assert seen == {(kind, want) for kind in MERKLE_KINDS.values() for want in (True, False)}


def ics23_archive(shared_data: SharedData) -> dict[str, Any]:
    with zipfile.ZipFile(shared_data("ics23-proofs") / "testdata.zip") as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}


def test_ics23_proofs_of_each_store_verify(shared_data: SharedData) -> None:
    files = {
        name: form for name, form in ics23_archive(shared_data).items() if name.split("/")[0] in ics23.SPECS
    }
    assert files
    for name, form in files.items():
        if not {"root", "proof", "key", "value"} <= form.keys():
            continue
        spec = name.split("/")[0]
        assert verify_proof("ics23", {**form, "spec": spec}) == {"valid": True, "reason": ""}, name
        flipped = f"{int(form['root'][:2], 16) ^ 1:02x}{form['root'][2:]}"
        assert verify_proof("ics23", {**form, "spec": spec, "root": flipped})["valid"] is False, name
        assert verify_proof("ics23", {**form, "spec": spec, "value": form["value"] + "00"})["valid"] is False


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def leaf_operation(form: dict[str, Any] | None) -> LeafOp | None:
    if form is None:
        return None
    numbers = {name: form.get(name, 0) for name in ("hash", "prehash_key", "prehash_value", "length")}
    return LeafOp(**numbers, prefix=decoded(form.get("prefix")))


def inner_operation(form: dict[str, Any]) -> InnerOp:
    return InnerOp(form.get("hash", 0), decoded(form.get("prefix")), decoded(form.get("suffix")))


def existence(form: dict[str, Any]) -> ExistenceProof:
    path = tuple(inner_operation(step) for step in form.get("path") or [])
    return ExistenceProof(
        decoded(form["key"]), decoded(form["value"]), leaf_operation(form.get("leaf")), path
    )


def specification(form: dict[str, Any]) -> ics23.ProofSpec:
    inner = form["inner_spec"]
    leaf = leaf_operation(form["leaf_spec"])
    assert leaf is not None
    inner_spec = ics23.InnerSpec(
        child_order=tuple(inner["child_order"]),
        child_size=inner["child_size"],
        min_prefix_length=inner["min_prefix_length"],
        max_prefix_length=inner["max_prefix_length"],
        hash=inner["hash"],
        empty_child=decoded(inner.get("empty_child")),
    )
    is_iavl = (leaf, inner_spec) == (ics23.IAVL.leaf_spec, ics23.IAVL.inner_spec)
    return ics23.ProofSpec(
        leaf, inner_spec, form.get("min_depth", 0), form.get("max_depth", 0), is_iavl=is_iavl
    )


def outcome(operation: Callable[[], bytes]) -> bytes | None:
    try:
        return operation()
    except ics23.ProofRefused:
        return None


def test_ics23_operations_have_their_published_results(shared_data: SharedData) -> None:
    files = ics23_archive(shared_data)
    for name, case in files.get("TestLeafOpData.json", {}).items():
        leaf = leaf_operation(case["Op"])
        assert leaf is not None
        result = outcome(lambda: ics23.apply_leaf(leaf, decoded(case["Key"]), decoded(case["Value"])))  # noqa: B023
        assert result == (None if case["IsErr"] else decoded(case["Expected"])), name
    for name, case in files.get("TestInnerOpData.json", {}).items():
        step = inner_operation(case["Op"])
        result = outcome(lambda: ics23.apply_inner(step, decoded(case["Child"])))  # noqa: B023
        assert result == (None if case["IsErr"] else decoded(case["Expected"])), name
    for name, case in files.get("TestExistenceProofData.json", {}).items():
        result = outcome(lambda: ics23.calculate_root(existence(case["Proof"])))  # noqa: B023
        assert result == (None if case["IsErr"] else decoded(case["Expected"])), name


def test_ics23_proofs_are_checked_against_specifications_as_published(shared_data: SharedData) -> None:
    for name, case in ics23_archive(shared_data).get("TestCheckAgainstSpecData.json", {}).items():
        try:
            ics23.check_against_spec(existence(case["Proof"]), specification(case["Spec"]))
        except ics23.ProofRefused:
            assert case["Err"], name
        else:
            assert not case["Err"], name
