"""What REST answers with. Field comments go to the OpenAPI document; `translate` fills them."""

from icn_gateway.api.views.accounts import Account, AccountPage, Entry, EntryPage, Hold, Unit, UnitPage
from icn_gateway.api.views.chain import (
    Block,
    BlockHeader,
    BlockPage,
    BlockSummary,
    PeerConnection,
    ProofEpoch,
    ProofFile,
    Validator,
    ValidatorList,
    ValidatorStatus,
)
from icn_gateway.api.views.common import Health, Problem, UnitReference, View
from icn_gateway.api.views.principals import Allowance, Key, KeyScope, Lane, Principal, PublicKey
from icn_gateway.api.views.transactions import (
    BatchOutcome,
    BatchOutcomes,
    Committed,
    Pending,
    Posting,
    Receipt,
    Transaction,
)

__all__ = [
    "Account",
    "AccountPage",
    "Allowance",
    "BatchOutcome",
    "BatchOutcomes",
    "Block",
    "BlockHeader",
    "BlockPage",
    "BlockSummary",
    "Committed",
    "Entry",
    "EntryPage",
    "Health",
    "Hold",
    "Key",
    "KeyScope",
    "Lane",
    "PeerConnection",
    "Pending",
    "Posting",
    "Principal",
    "Problem",
    "ProofEpoch",
    "ProofFile",
    "PublicKey",
    "Receipt",
    "Transaction",
    "Unit",
    "UnitPage",
    "UnitReference",
    "Validator",
    "ValidatorList",
    "ValidatorStatus",
    "View",
]
