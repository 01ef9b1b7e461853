"""Generates the Python stubs of every .proto into protos/generated when the package is installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
DESCRIPTORS = "descriptors.binpb"
"""In the package `icn`: every file's descriptor with its comments, a google.protobuf.FileDescriptorSet."""


class GenerateStubs(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc before the wheel is built; an editable install points at the same folder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build, editable ones too."""
        generate(HERE / "generated")


def generate(target: Path) -> None:
    """Write message modules, their type stubs and gRPC stubs under ``target``.

    Raises:
        SystemExit: protoc refused a file; it has printed where.
    """
    import grpc_tools
    from grpc_tools import protoc

    shutil.rmtree(target, ignore_errors=True)
    (target / "icn").mkdir(parents=True)
    sources = sorted(str(path.relative_to(HERE)) for path in (HERE / "icn").rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{HERE}", f"-I{well_known}"]
    arguments += [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    # Stubs carry no comments; whoever documents an interface for people reads them from here.
    arguments += [f"--descriptor_set_out={target / 'icn' / DESCRIPTORS}", "--include_source_info"]
    if protoc.main([*arguments, *sources]) != 0:
        raise SystemExit("protoc refused the files above")
    for package in {Path(source).parent for source in sources}:
        (target / package / "__init__.py").touch()


if __name__ == "__main__":
    generate(HERE / "generated")
