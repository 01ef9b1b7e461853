"""What ``icn crypto verify``, ``decaps`` and ``public`` do with the lines of a file.

Each function takes the objects of the lines in order and gives one object per line. Members it does not know
are left alone. Source: docs/spec/cryptography.md, "Files".
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from icn_crypto import ed25519, kem, mldsa
from icn_crypto.lines import InvalidMember, as_object, hex_member, text_member
from icn_crypto.suites import SEED_BYTES, SigningKey, Suite

LINES_MAX: Final = 1_000_000
"""Lines of one file; they are held in memory to be verified together."""


class InvalidLine(ValueError):
    """A line is not an object with the members its command needs; ``line`` counts from 1."""

    def __init__(self, line: int, fault: str, member: str = "") -> None:
        super().__init__(f"line {line}: {fault}")
        self.line = line
        self.member = member


class VerifyAlgorithm(Enum):
    """What ``verify`` knows."""

    ED25519 = "ed25519"
    """RFC 8032: as ZIP-215, and both points in their canonical encoding."""
    ED25519_ZIP215 = "ed25519-zip215"
    """The chain's own rule, which accepts every encoding of a point."""
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


def verify_lines(lines: Sequence[object]) -> list[dict[str, bool]]:
    """``{"valid"}`` for each ``{"alg","pk","msg","sig","ctx"?}``; bytes of a wrong length are not valid.

    Raises:
        InvalidLine: a member is missing or not hexadecimal, the algorithm is not known, or an Ed25519 line
            has a context (Ed25519ctx is another algorithm).
    """
    _check_count(lines)
    valid: dict[int, bool] = {}
    ed25519_items: dict[int, tuple[VerifyAlgorithm, ed25519.Item]] = {}
    for position, form in enumerate(lines):
        try:
            members = as_object(form)
            algorithm = _verify_algorithm(text_member(members, "alg"))
            public_key, message, signature = (hex_member(members, name) for name in ("pk", "msg", "sig"))
            context = hex_member(members, "ctx", default="")
            if algorithm in (VerifyAlgorithm.ED25519, VerifyAlgorithm.ED25519_ZIP215):
                if context:
                    raise InvalidMember("ctx", "Ed25519 has no context")
                ed25519_items[position] = (algorithm, (public_key, message, signature))
            else:
                parameter_set = mldsa.ParameterSet(algorithm.value)
                valid[position] = mldsa.verify(parameter_set, public_key, message, signature, context)
        except InvalidMember as error:
            raise InvalidLine(position + 1, str(error), error.name) from error
    answers = ed25519.verify_batch([item for _, item in ed25519_items.values()])
    for (position, (algorithm, (public_key, _, signature))), answer in zip(
        ed25519_items.items(), answers, strict=True
    ):
        is_strict = algorithm is VerifyAlgorithm.ED25519
        valid[position] = answer and (not is_strict or ed25519.has_canonical_points(public_key, signature))
    return [{"valid": valid[position]} for position in range(len(lines))]


def decapsulate_lines(lines: Sequence[object]) -> list[dict[str, str]]:
    """``{"shared"}`` or ``{"error"}`` for each ``{"alg","seed"|"sk","ct"}``.

    ML-KEM: ``seed`` is d ‖ z, ``sk`` the expanded decapsulation key. X25519: either is the private key,
    ``ct`` the peer's public key.

    Raises:
        InvalidLine: a member is missing or not hexadecimal.
    """
    _check_count(lines)
    results: list[dict[str, str]] = []
    for line, form in enumerate(lines, start=1):
        try:
            members = as_object(form)
            name = text_member(members, "alg")
            ciphertext = hex_member(members, "ct")
            if ("seed" in members) == ("sk" in members):
                raise InvalidMember("seed", "exactly one of seed and sk is expected")
            private = hex_member(members, "seed" if "seed" in members else "sk")
            opened = kem.decapsulate_from_seed if "seed" in members else kem.decapsulate_from_key
            results.append({"shared": opened(_kem_algorithm(name), private, ciphertext).hex()})
        except InvalidMember as error:
            raise InvalidLine(line, str(error), error.name) from error
        except ValueError as error:
            results.append({"error": str(error)})
    return results


def public_key_lines(lines: Sequence[object]) -> list[dict[str, str]]:
    """``{"pk"}`` or ``{"error"}`` for each ``{"alg","seed"}``.

    Raises:
        InvalidLine: a member is missing or not hexadecimal.
    """
    _check_count(lines)
    results: list[dict[str, str]] = []
    for line, form in enumerate(lines, start=1):
        try:
            members = as_object(form)
            name, seed = text_member(members, "alg"), hex_member(members, "seed")
            results.append({"pk": _public_key(name, seed).hex()})
        except InvalidMember as error:
            raise InvalidLine(line, str(error), error.name) from error
        except ValueError as error:
            results.append({"error": str(error)})
    return results


def _verify_algorithm(name: str) -> VerifyAlgorithm:
    try:
        return VerifyAlgorithm(name)
    except ValueError:
        raise InvalidMember("alg", f"{name!r} is not known") from None


def _kem_algorithm(name: str) -> kem.KemAlgorithm:
    try:
        return kem.KemAlgorithm(name)
    except ValueError:
        raise ValueError(f"algorithm {name!r} is not known") from None


def _check_count(lines: Sequence[object]) -> None:
    if len(lines) > LINES_MAX:
        raise InvalidLine(LINES_MAX + 1, f"a file has at most {LINES_MAX} lines")


def _public_key(name: str, seed: bytes) -> bytes:
    if name == VerifyAlgorithm.ED25519.value:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes")
        return SigningKey.from_seed(Suite.ED25519, seed).public_key
    if name in {parameter_set.value for parameter_set in mldsa.ParameterSet}:
        return mldsa.public_from_seed(mldsa.ParameterSet(name), seed)
    return kem.public_from_seed(_kem_algorithm(name), seed)
