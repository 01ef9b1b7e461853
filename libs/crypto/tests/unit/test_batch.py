"""The lines of `icn crypto verify`, `decaps` and `public`."""

import pytest
from icn_crypto import batch, kem, mldsa
from icn_crypto.batch import InvalidLine, decapsulate_lines, public_key_lines, verify_lines
from icn_crypto.suites import SigningKey, Suite

ED25519 = SigningKey.from_seed(Suite.ED25519, bytes(32))
ML_DSA_65 = SigningKey.from_seed(Suite.ML_DSA_65, bytes(32))


def line(key: SigningKey, algorithm: str, message: bytes = b"m", **changes: str) -> dict[str, str]:
    form = {
        "alg": algorithm,
        "pk": key.public_key.hex(),
        "msg": message.hex(),
        "sig": key.sign(b"m").hex(),
    }
    return {**form, **changes}


def test_lines_of_all_algorithms_are_answered_in_order() -> None:
    good, bad = line(ED25519, "ed25519"), line(ED25519, "ed25519", b"n")
    other = line(ML_DSA_65, "ml-dsa-65")
    lines = [
        good,
        other,
        bad,
        line(ML_DSA_65, "ml-dsa-65", b"n"),
        good,
        {**other, "ctx": ""},
        {**other, "ctx": "00"},
    ]
    valid = [answer["valid"] for answer in verify_lines(lines)]
    assert valid == [True, True, False, False, True, True, False]
    assert verify_lines([]) == []


def test_members_that_are_not_known_are_left_alone_and_hex_is_read_in_either_case() -> None:
    form = line(ED25519, "ed25519")
    assert verify_lines([{**form, "tcId": 7, "sig": form["sig"].upper()}]) == [{"valid": True}]


@pytest.mark.parametrize("algorithm", ["ed25519", "ed25519-zip215", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
@pytest.mark.parametrize(
    ("member", "value"), [("pk", ""), ("pk", "00" * 31), ("sig", ""), ("sig", "00" * 65)]
)
def test_wrong_lengths_are_not_valid(algorithm: str, member: str, value: str) -> None:
    form = line(ED25519, algorithm, **{member: value})
    assert verify_lines([form]) == [{"valid": False}]


@pytest.mark.parametrize("name", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
@pytest.mark.parametrize("context", ["", "00", "ff" * 255])
def test_a_context_is_part_of_what_is_signed(name: str, context: str) -> None:
    parameter_set = mldsa.ParameterSet(name)
    private = mldsa._PRIVATE_KEYS[parameter_set].from_seed_bytes(bytes(32))
    form = {
        "alg": name,
        "pk": mldsa.public_from_seed(parameter_set, bytes(32)).hex(),
        "msg": b"m".hex(),
        "sig": private.sign(b"m", bytes.fromhex(context)).hex(),
    }
    lines = [{**form, "ctx": context}, {**form, "ctx": "ab"}, {**form, "ctx": "ff" * 256}, form]
    assert [answer["valid"] for answer in verify_lines(lines)] == [True, False, False, context == ""]


def test_the_chain_accepts_encodings_that_rfc_8032_does_not() -> None:
    identity, odd_identity = (1).to_bytes(32, "little").hex(), (1 | 1 << 255).to_bytes(32, "little").hex()
    for public_key, r, is_canonical in (
        (identity, identity, True),
        (identity, odd_identity, False),
        (odd_identity, identity, False),
    ):
        form = {"pk": public_key, "msg": "", "sig": r + "00" * 32}
        lines = [{"alg": "ed25519", **form}, {"alg": "ed25519-zip215", **form}]
        assert verify_lines(lines) == [{"valid": is_canonical}, {"valid": True}]


@pytest.mark.parametrize(
    ("form", "member"),
    [
        ([], "object"),
        ("ed25519", "object"),
        ({}, "alg"),
        (line(ED25519, "ed448"), "alg"),
        (line(ED25519, "ED25519"), "alg"),
        ({**line(ED25519, "ed25519"), "alg": 1}, "alg"),
        (line(ED25519, "ed25519", pk="0"), "pk"),
        (line(ED25519, "ed25519", msg="0x00"), "msg"),
        (line(ED25519, "ed25519", sig="00 00"), "sig"),
        ({**line(ED25519, "ed25519"), "sig": None}, "sig"),
        ({"alg": "ed25519", "pk": "00", "msg": "00"}, "sig"),
        (line(ED25519, "ed25519", ctx="00"), "ctx"),
        (line(ML_DSA_65, "ml-dsa-65", ctx="x"), "ctx"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(form: object, member: str) -> None:
    with pytest.raises(InvalidLine) as refusal:
        verify_lines([line(ED25519, "ed25519"), form])
    assert (refusal.value.line, refusal.value.member) == (2, member)
    assert str(refusal.value).startswith(f"line 2: {member}")


def test_the_number_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LINES_MAX", 2)
    form = line(ED25519, "ed25519")
    assert len(verify_lines([form] * 2)) == 2
    for answer in (verify_lines, decapsulate_lines, public_key_lines):
        with pytest.raises(InvalidLine) as refusal:
            answer([form] * 3)
        assert refusal.value.line == 3


@pytest.mark.parametrize("algorithm", ["ml-kem-768", "ml-kem-1024"])
def test_decapsulation_answers_each_line_with_a_secret_or_an_error(algorithm: str) -> None:
    seed = bytes(64)
    public_key = public_key_lines([{"alg": algorithm, "seed": seed.hex()}])[0]["pk"]
    kem_class = kem.wheel.MLKEM768PublicKey if algorithm == "ml-kem-768" else kem.wheel.MLKEM1024PublicKey
    shared, ciphertext = kem_class.from_public_bytes(bytes.fromhex(public_key)).encapsulate()
    good = {"alg": algorithm, "seed": seed.hex(), "ct": ciphertext.hex()}
    answers = decapsulate_lines(
        [good, {**good, "seed": "00"}, {**good, "ct": "00"}, {**good, "alg": "kyber"}]
    )
    assert answers[0] == {"shared": shared.hex()}
    assert all(set(answer) == {"error"} and answer["error"] for answer in answers[1:])


def test_x25519_takes_the_private_key_under_either_name() -> None:
    private, peer = bytes(range(32)), kem.public_from_seed(kem.KemAlgorithm.X25519, bytes(range(1, 33)))
    form = {"alg": "x25519", "ct": peer.hex()}
    first, second = decapsulate_lines([{**form, "sk": private.hex()}, {**form, "seed": private.hex()}])
    assert first == second
    assert len(bytes.fromhex(first["shared"])) == 32
    assert "error" in decapsulate_lines([{"alg": "x25519", "sk": private.hex(), "ct": "00" * 32}])[0]


@pytest.mark.parametrize(
    ("form", "member"),
    [
        ({"alg": "x25519", "ct": ""}, "seed"),
        ({"alg": "x25519", "ct": "", "seed": "", "sk": ""}, "seed"),
        ({"alg": "x25519", "sk": "00"}, "ct"),
        ({"alg": "x25519", "sk": "0", "ct": ""}, "sk"),
        ({"sk": "00", "ct": ""}, "alg"),
        (None, "object"),
    ],
)
def test_a_decapsulation_line_that_cannot_be_read_is_named(form: object, member: str) -> None:
    with pytest.raises(InvalidLine) as refusal:
        decapsulate_lines([form])
    assert (refusal.value.line, refusal.value.member) == (1, member)


@pytest.mark.parametrize(
    ("algorithm", "seed_bytes", "key_bytes"),
    [
        ("ed25519", 32, 32),
        ("ml-dsa-44", 32, 1312),
        ("ml-dsa-65", 32, 1952),
        ("ml-dsa-87", 32, 2592),
        ("ml-kem-768", 64, 1184),
        ("ml-kem-1024", 64, 1568),
        ("x25519", 32, 32),
    ],
)
def test_public_keys_come_from_seeds_of_the_right_length(
    algorithm: str, seed_bytes: int, key_bytes: int
) -> None:
    lines = [
        {"alg": algorithm, "seed": "07" * count} for count in (seed_bytes, seed_bytes - 1, seed_bytes + 1)
    ]
    answers = public_key_lines(lines)
    assert len(bytes.fromhex(answers[0]["pk"])) == key_bytes
    assert all(set(answer) == {"error"} for answer in answers[1:])


def test_the_public_key_of_an_unknown_algorithm_is_an_error() -> None:
    assert set(public_key_lines([{"alg": "rsa", "seed": "00"}])[0]) == {"error"}


@pytest.mark.parametrize("form", [{"alg": "ed25519"}, {"seed": "00"}, {"alg": "ed25519", "seed": "zz"}, 7])
def test_a_public_line_that_cannot_be_read_is_named(form: object) -> None:
    with pytest.raises(InvalidLine):
        public_key_lines([form])
