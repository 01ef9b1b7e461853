"""What can be seen of a service without running it."""

from __future__ import annotations

import re
from pathlib import Path


def settings_readers(root: Path) -> list[Path]:
    """Modules that read the environment although they are neither a main nor the settings."""
    reads = re.compile(r"\bos\.environ\b|\bgetenv\(")
    return [
        path
        for path in sorted(root.glob("services/*/src/**/*.py"))
        if path.name not in ("main.py", "settings.py") and reads.search(path.read_text())
    ]


def test_a_service_reads_the_environment_in_its_settings_only(root: Path) -> None:
    assert [str(path.relative_to(root)) for path in settings_readers(root)] == []


def test_services_never_run_without_assertions(root: Path, tracked: list[Path]) -> None:
    optimized = re.compile(r"python3? -O|PYTHONOPTIMIZE")
    own = Path("tests") / Path(__file__).name
    texts = {path: (root / path).read_text("utf-8", errors="ignore") for path in tracked if path != own}
    assert [str(path) for path, text in texts.items() if optimized.search(text)] == []


def test_these_rules_can_fail(tmp_path: Path) -> None:
    module = tmp_path / "services" / "ledger" / "src" / "icn_ledger" / "domain" / "limits.py"
    module.parent.mkdir(parents=True)
    module.write_text("import os\nLIMIT = os.environ['LIMIT']\n")
    assert settings_readers(tmp_path) == [module]
