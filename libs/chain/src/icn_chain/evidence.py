"""Transferable evidence that a validator broke the rules, which anybody can check offline.

Whoever has genesis and the set of the epoch can: consensus makes it, the ledger records it, a person verifies
a file. It is of two sorts: `icn_chain.equivocation` and `icn_chain.invalid_proposal`.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from typing import Final

from icn_chain import equivocation, invalid_proposal
from icn_chain.equivocation import Equivocation
from icn_chain.invalid_proposal import INVALID_PROPOSAL_BYTES_MAX, InvalidProposal

EVIDENCE_BYTES_MAX: Final = INVALID_PROPOSAL_BYTES_MAX
_SORT_AT: Final = 4

Evidence = Equivocation | InvalidProposal
"""Either has `seat`, `epoch`, `view`, `said`, `encode` and `check`."""


def parse(data: bytes) -> Evidence:
    """Read evidence of either sort; whether it proves anything is for its `check`.

    Raises:
        EvidenceInvalid: it is neither.
    """
    if data[_SORT_AT : _SORT_AT + 1] == bytes([invalid_proposal.SORT]):
        return invalid_proposal.parse(data)
    return equivocation.parse(data)
