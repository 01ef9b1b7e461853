"""What nodes must agree on holds no floating-point number."""

from __future__ import annotations

import ast
from pathlib import Path

AGREED = (
    "libs/crypto/src",
    "libs/wasm/src",
    "libs/kit/src/icn_kit/genesis.py",
    "libs/tally/src",
    "services/consensus/src/icn_consensus/domain",
    "libs/machine/src/icn_machine",
)

EXCEPTIONS = {
    "libs/crypto/src/icn_crypto/jcs.py": "RFC 8785 says how floats of foreign documents are written",
    "libs/tally/src/icn_tally/sortition.py": "a lottery is searched by linear programs, and drawn "
    "from once it is published, in whole tickets and with panels that anybody can check",
}


def floats(source: str) -> list[str]:
    """Places with a float literal, a true division, or the name ``float`` outside of an annotation."""
    tree = ast.parse(source)
    annotations: set[int] = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            inside = getattr(node, field, None)
            if isinstance(inside, ast.AST):
                annotations |= {id(child) for child in ast.walk(inside)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"line {node.lineno}: {node.value}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: /")
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: /=")
        elif isinstance(node, ast.Name) and node.id == "float" and id(node) not in annotations:
            found.append(f"line {node.lineno}: float")
    return found


def test_consensus_ledger_and_cryptography_compute_with_integers(root: Path) -> None:
    files = [
        path
        for name in AGREED
        for path in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))
    ]
    assert files
    found = {str(path.relative_to(root)): floats(path.read_text()) for path in files}
    assert {name: places for name, places in found.items() if places and name not in EXCEPTIONS} == {}


def test_this_rule_can_fail() -> None:
    assert floats("x = 0.5") == ["line 1: 0.5"]
    assert floats("x = a / b\nx /= 2\ny = float(x)") != []
    assert floats("def f(x: float) -> int: return x // 2") == []
