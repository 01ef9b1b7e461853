"""Documents: short where they must be, and true about which files exist."""

from __future__ import annotations

import re
from pathlib import Path

README_LINES_MAX = 150

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
FOLDERS = tuple(
    f"{name}/"
    for name in (
        *("benches", "changelog.d", "deploy", "docs", "e2e", "libs", "native"),
        *("protos", "scripts", "services", "tests", "web"),
    )
)
MADE_LATER = ("protos/generated",)
"""Named in documents, made by set-up."""


def missing_references(document: Path, root: Path) -> list[str]:
    """Links and quoted paths of a document that lead nowhere."""
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = []
    for target in LINK.findall(text):
        if not (document.parent / target.split("#")[0]).exists():
            missing.append(target)
    for quoted in QUOTED.findall(text):
        path = re.sub(r"(::|#|:\d).*$", "", quoted.split()[0])
        if path.startswith(FOLDERS) and not path.startswith(MADE_LATER):
            braces = re.sub(r"\{[^}]*\}|<[^>]*>|NNNN|…", "*", path).rstrip("/")
            if not any(root.glob(braces)):
                missing.append(quoted)
    return missing


def missing_parts(record: str) -> list[str]:
    """Parts that a decision record lacks, whether they are headings or begin a paragraph in bold."""
    parts = ("Context", "Decision", "Consequences", "Alternatives")
    return [part for part in parts if not re.search(rf"^(?:## |\*\*){part}", record, flags=re.MULTILINE)]


def test_the_readme_is_short(root: Path) -> None:
    assert len((root / "README.md").read_text().splitlines()) <= README_LINES_MAX


def test_every_file_that_a_document_names_exists(root: Path, tracked: list[Path]) -> None:
    documents = [path for path in tracked if path.suffix == ".md"]
    assert documents
    found = {str(path): missing_references(root / path, root) for path in documents}
    assert {path: missing for path, missing in found.items() if missing} == {}


def test_every_file_that_code_cites_exists(root: Path, tracked: list[Path]) -> None:
    cited = re.compile(r"\bdocs/(?:spec|adr)/[\w.-]+\.md\b")
    missing = {}
    for path in tracked:
        if path.suffix in (".py", ".proto", ".rs", ".sql", ".toml", ".yaml") and path.parts[0] != "tests":
            absent = {
                name for name in cited.findall((root / path).read_text("utf-8")) if not (root / name).exists()
            }
            if absent:
                missing[str(path)] = sorted(absent)
    assert missing == {}


def test_decision_records_are_numbered_without_a_repeat_and_have_their_parts(root: Path) -> None:
    records = sorted((root / "docs" / "adr").glob("*.md"))
    numbers = [record.name[:4] for record in records]
    assert all(number.isdigit() for number in numbers), numbers
    assert len(set(numbers)) == len(numbers), numbers
    assert {record.name: missing_parts(record.read_text()) for record in records} == {
        record.name: [] for record in records
    }


def test_these_rules_can_fail(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "[x](gone.md) and `libs/gone` and [y](a.md) and `docs/{spec,adr}`\n```\n[z](gone.md)\n```\n"
    )
    (tmp_path / "docs" / "spec").mkdir(parents=True)
    assert missing_references(document, tmp_path) == ["gone.md", "libs/gone"]
    assert missing_parts("## Context\n**Decision.** x\n## Consequences\n") == ["Alternatives"]
