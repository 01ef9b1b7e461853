"""The rules that a simulation plays are those that validators run: the same modules, and no second ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import product
from pathlib import Path

import icn_chain
import icn_client.light
import icn_consensus.domain
import icn_ledger
import icn_machine

LIST_MODULES = (
    "import {module}, sys;"
    "print(*sorted(name + ' ' + module.__file__ for name, module in sys.modules.items()"
    " if name.startswith(('icn_chain.', 'icn_consensus.domain.', 'icn_machine.'))), sep='\\n')"
)
USE_CASES = (
    "icn_consensus.usecases.pool",
    "icn_consensus.usecases.judging",
    "icn_machine.blocks.check_transactions",
    "icn_machine.blocks.prepare_block",
    "icn_machine.blocks.validate_block",
    "icn_machine.blocks.execute_block",
)
FILES = ("icn_chain.checkpoint",)
"""What a validator reads at its start from a file of its operator: a simulation has no files."""
SIMULATION = Path(__file__).parents[2] / "src" / "icn_sim"


def rules_loaded_by(module: str) -> dict[str, str]:
    """Domain modules in a process that has imported this one: name → file."""
    listed = subprocess.run(
        [sys.executable, "-c", LIST_MODULES.format(module=module)], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in listed.stdout.splitlines())


def names_defined_in(folder: Path) -> dict[str, str]:
    """Public functions and classes at the top of a package's modules: name → module."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name[0] != "_"
            ):
                found[node.name] = path.name
    return found


def test_simulation_and_validators_load_the_same_rules() -> None:
    simulated = rules_loaded_by("icn_sim.seeds")
    hosted = rules_loaded_by("icn_localnet.validator")
    assert len(simulated) > 40
    for module in FILES:
        del hosted[module]
    assert simulated == hosted


def test_what_a_simulation_asks_of_pool_and_ledger_is_the_production_code() -> None:
    source = "".join(path.read_text("utf-8") for path in SIMULATION.glob("*.py"))
    service = Path(icn_ledger.__file__).parent / "api" / "application_service.py"
    imported = source + service.read_text("utf-8")
    for module in USE_CASES:
        assert f"from {module} import" in imported, module


def test_no_rule_exists_twice() -> None:
    """Of what must be decided alike everywhere, and of what the simulation might do by itself."""
    packages = (icn_chain, icn_consensus.domain, icn_machine, icn_client.light)
    simulation, chain, *users = (
        names_defined_in(folder)
        for folder in [SIMULATION, *(Path(package.__file__).parent for package in packages)]
    )
    assert min(map(len, (simulation, chain, *users))) >= 10
    for one, other in [(simulation, chain), *product((simulation, chain), users)]:
        assert not one.keys() & other.keys()
