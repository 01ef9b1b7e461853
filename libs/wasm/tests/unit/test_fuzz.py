"""Whatever bytes are stored: refused with a reason, or run within their bounds; nothing else is raised."""

from __future__ import annotations

import random

import pytest
from icn_wasm.assembly import contract
from icn_wasm.engine import Code, Engine, EntryPoint
from icn_wasm.messages import Caller, Environment
from icn_wasm.refusals import CodeRefused

ENVIRONMENT = Environment("icn-test", 1, 1, "contracts/00")
ROUNDS = 1_500


class Empty:
    def get(self, _key: bytes) -> None:
        return None

    def scan(self, *_range: object) -> object:
        return iter(())


def mutated(content: bytes, randomness: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(randomness.choice((1, 1, 1, 2, 3, 8))):
        place = randomness.randrange(len(changed))
        what = randomness.randrange(4)
        if what == 0:
            changed[place] = randomness.randrange(256)
        elif what == 1:
            changed[place] ^= 1 << randomness.randrange(8)
        elif what == 2:
            del changed[place : place + randomness.randrange(1, 9)]
        else:
            changed[place:place] = randomness.randbytes(randomness.randrange(1, 9))
    return bytes(changed)


@pytest.mark.parametrize("name", ["counter", "mutual_aid_fund"])
def test_mutated_modules_are_refused_or_run_within_their_bounds(name: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    randomness, engine = random.Random(seed), Engine(modules_cached_max=2)
    accepted = 0
    for _ in range(ROUNDS):
        code = Code.of(mutated(contract_of(name), randomness))
        try:
            engine.check(code)
        except CodeRefused:
            continue
        accepted += 1
        for entry_point, message in (
            (EntryPoint.INSTANTIATE, b"{}"),
            (EntryPoint.EXECUTE, b'{"by":"1"}'),
            (EntryPoint.QUERY, b"{}"),
        ):
            caller = None if entry_point is EntryPoint.QUERY else Caller("anna")
            outcomes = [
                engine.run(entry_point, code, ENVIRONMENT, caller, message, Empty(), 2_000_000)  # type: ignore[arg-type]
                for _ in range(2)
            ]
            assert outcomes[0].gas_used == outcomes[1].gas_used <= 2_000_000
    assert accepted > 0


def test_random_bytes_are_refused() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    randomness, engine = random.Random(seed), Engine()
    for _ in range(ROUNDS):
        tail = randomness.randbytes(randomness.randrange(200))
        for content in (tail, b"\0asm\1\0\0\0" + tail):
            with pytest.raises(CodeRefused):
                engine.check(Code.of(content))


_MADE: dict[str, bytes] = {}


def contract_of(name: str) -> bytes:
    return _MADE.setdefault(name, contract(name))
