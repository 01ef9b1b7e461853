"""Full names of the ledger's streams that no deadline ends.

Source: protos/icn/ledger/v1/service.proto.
"""

from __future__ import annotations

from typing import Final

WATCH_BLOCKS: Final = "/icn.ledger.v1.LedgerService/WatchBlocks"
WATCH_ACCOUNT: Final = "/icn.ledger.v1.LedgerService/WatchAccount"
STREAM_LEAVES: Final = "/icn.ledger.v1.LedgerService/StreamLeaves"
