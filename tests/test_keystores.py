"""No code of the platform's processes can open a member's keystore or sign for a member (docs/adr/0010).

What runs is looked at in `e2e/test_keystores.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PLATFORM = ("services/*/src", "libs/kit/src", "libs/localnet/src")
"""Sources of what the platform's processes run."""
NAMES_A_KEYSTORE = re.compile(r"keystore|passphrase", re.IGNORECASE)
SIGNERS = ("SigningKey", "KeyPair", "sign_command", "ed25519", "Ed25519PrivateKey", "MLDSA65PrivateKey")
"""Names of what makes signatures."""

STRIPPED = "libs/localnet/src/icn_localnet/parts.py"
"""Names the variables in order to take them away from every process."""
WITH_KEYS_OF_THEIR_OWN = (
    "services/consensus/src/icn_consensus/",
    "libs/localnet/src/icn_localnet/network.py",
    "libs/localnet/src/icn_localnet/pytest_plugin.py",
    "libs/localnet/src/icn_localnet/certificates.py",
)
"""A validator's consensus key signs its votes; it is made with the network. The plug-in is of tests.
Certificates are of processes."""


def sources(root: Path) -> Iterator[Path]:
    """Every module of the platform."""
    for folder in PLATFORM:
        for package in sorted(root.glob(folder)):
            yield from sorted(package.rglob("*.py"))


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the nodes of strings that are only read by people."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def faults(source: str) -> list[str]:
    """What a module says that only a member's own programs may say."""
    tree = ast.parse(source)
    prose = docstrings(tree)
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if NAMES_A_KEYSTORE.search(node.value):
                found.append(f"line {node.lineno}: the text {node.value[:40]!r}")
            continue
        for name in names:
            if name.split(".")[0] == "icn_client":
                found.append(f"line {node.lineno}: imports the client")  # type: ignore[attr-defined]
            elif NAMES_A_KEYSTORE.search(name):
                found.append(f"line {node.lineno}: the name {name}")  # type: ignore[attr-defined]
    return found


def signs(source: str) -> bool:
    """Whether a module imports something that makes signatures."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(alias.name in SIGNERS for alias in node.names):
            return True
    return False


def test_no_process_of_the_platform_has_code_that_opens_a_keystore(root: Path) -> None:
    found = {
        str(path.relative_to(root)): faults(path.read_text())
        for path in sources(root)
        if str(path.relative_to(root)) != STRIPPED
    }
    assert len(found) > 100
    assert {path: fault for path, fault in found.items() if fault} == {}


def test_no_service_but_consensus_has_code_that_signs(root: Path) -> None:
    signing = [str(path.relative_to(root)) for path in sources(root) if signs(path.read_text())]
    assert [path for path in signing if not path.startswith(WITH_KEYS_OF_THEIR_OWN)] == []


def test_these_rules_can_fail() -> None:
    assert faults('"""About a keystore."""\nvalue = 1  # keystore') == []
    for source in (
        "import icn_client.keystore",
        "from icn_client import acting",
        "from elsewhere import open_keystore",
        "path = folder / 'keystores'",
        "def open(passphrase): ...",
        "os.environ['ICN_PASSPHRASE']",
        "settings.keystore",
    ):
        assert faults(source), source
    assert signs("from icn_crypto.suites import SigningKey")
    assert not signs("from icn_crypto.suites import verify_batch")
