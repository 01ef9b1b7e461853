"""The process of one validator: consensus and ledger in one event loop.

``python -m icn_localnet.validator CONFIGURATION.json``; the file is written by `icn_localnet.parts` and holds
the settings of both services, which in an image come from the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from icn_chain.protocols import NEWEST_PROTOCOL
from icn_consensus.main import build as build_consensus
from icn_consensus.settings import ConsensusSettings
from icn_kit.lifecycle import Stop, run_service
from icn_kit.probed import Probed
from icn_kit.telemetry import configure_logging
from icn_ledger.main import build as build_ledger
from icn_ledger.settings import LedgerSettings


async def build(document: dict[str, Any], stop: Stop, protocol_newest: int = NEWEST_PROTOCOL) -> Probed:
    """Both services over their settings, not yet started; consensus shakes hands with the ledger.

    ``protocol_newest``: what the release knows; less only where a test stands for an older one.
    """
    ledger = await build_ledger(LedgerSettings(**document["ledger"]), stop, protocol_newest=protocol_newest)
    consensus = await build_consensus(
        ConsensusSettings(**document["consensus"]),
        stop,
        application=lambda: ledger.application,
        protocol_newest=protocol_newest,
    )
    host, _, port = document["metrics"].rpartition(":")
    return Probed((ledger, consensus), host, int(port))


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    configure_logging(f"validator-{document['seat']}")

    async def make(stop: Stop) -> Probed:
        return await build(document, stop)

    sys.exit(run_service(make))


if __name__ == "__main__":
    main()
