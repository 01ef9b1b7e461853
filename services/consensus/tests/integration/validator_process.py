"""A validator and its counting application as a process: ``python validator_process.py SETTINGS``."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from icn.consensus.v1 import application_pb2_grpc
from icn_consensus.main import build
from icn_consensus.settings import ConsensusSettings
from icn_kit.genesis import load_genesis
from icn_kit.lifecycle import Stop, run
from icn_kit.server import GrpcServer
from icn_kit.telemetry import configure_logging


def _counting_application() -> Any:
    path = Path(__file__).with_name("counting_application.py")
    specification = importlib.util.spec_from_file_location("counting_application", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module.CountingApplication


async def main(stop: Stop) -> None:
    settings = ConsensusSettings(**json.loads(Path(sys.argv[1]).read_text("utf-8")))  # noqa: ASYNC240
    genesis = load_genesis(settings.genesis)
    application = _counting_application().of(genesis)
    server = GrpcServer(
        settings.application_address,
        [(application_pb2_grpc.add_ApplicationServiceServicer_to_server, application)],
    )
    await server.start()
    service = await build(settings, stop)
    await service.start()
    await stop.wait()
    await asyncio.gather(service.drain(), server.drain(0.1))


if __name__ == "__main__":
    configure_logging("consensus")
    sys.exit(run(main))
