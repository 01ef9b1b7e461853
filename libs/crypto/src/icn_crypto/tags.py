"""Domain tags: what a hash or signature is about. Each is used for one kind of preimage and never changes
meaning.

Source: docs/spec/cryptography.md, "Preimages and domain tags".
"""

from typing import Final

TRANSACTION: Final = "icn/transaction/v1"
"""Signing a transaction's body."""
TRANSACTION_ID: Final = "icn/transaction-id/v1"
"""A transaction's id: hash of the body, signatures left out."""
STATEMENT: Final = "icn/statement/v1"
"""Signing a statement of an account."""
ENTRY: Final = "icn/entry/v1"
"""Hash in the chain of an account's entries."""
SUB_ACCOUNTS: Final = "icn/sub-accounts/v1"
"""Hash in the chain of an account's sub-accounts."""
TRIAL_BALANCE: Final = "icn/trial-balance/v1"
"""Digest of a unit's balances at the end of a period."""
BLOCK: Final = "icn/block/v1"
"""Hash of a block header."""
PROPOSAL: Final = "icn/proposal/v1"
"""Signing a leader's proposal."""
NOTARIZE: Final = "icn/notarize/v1"
"""Signing a notarize vote."""
NULLIFY: Final = "icn/nullify/v1"
"""Signing a nullify vote."""
FINALIZE: Final = "icn/finalize/v1"
"""Signing a finalize vote."""
CONSENSUS_KEY: Final = "icn/consensus-key/v1"
"""Proving that one has a consensus key."""
RECOVERY: Final = "icn/recovery/v1"
"""Signing the body of a recovery certificate."""
RECOVERY_DIGEST: Final = "icn/recovery-digest/v1"
"""Digest of a recovery certificate, as a header names it."""
HELLO: Final = "icn/hello/v1"
"""Signing the answer to a peer's nonce."""
CERTIFICATE: Final = "icn/certificate/v1"
"""Hash of a certificate, where one is named by hash under a tag."""
KEY: Final = "icn/key/v1"
"""Key id; made before a genesis exists."""
VALIDATOR_SET: Final = "icn/validator-set/v1"
"""Hash of a validator set; made before a genesis exists."""
STATE_KEY: Final = "icn/state-key/v1"
"""Key of a leaf in the state tree; made before a genesis exists."""
LOT: Final = "icn/lot/v1"
"""Place of a candidate in the order of lots; ballots know no genesis."""
GENESIS: Final = "icn/genesis/v1"
"""Hash of the genesis document; made before a genesis exists."""
CONTRACT: Final = "icn/contract/v1"
"""Address of a contract."""
COMMAND: Final = "icn/command/v1"
"""Signing a command's body."""
COMMAND_ID: Final = "icn/command-id/v1"
"""A command's id: hash of the body, signatures left out."""
DECISION: Final = "icn/decision/v1"
"""Countersigning a decision."""
DECISION_ID: Final = "icn/decision-id/v1"
"""A decision's id."""
BALLOT: Final = "icn/ballot/v1"
"""Commitment to a ballot."""
CONTRACT_EVENTS: Final = "icn/contract-events/v1"
"""Hash of what a contract call told in events."""
POLL_DOCUMENT: Final = "icn/poll-document/v1"
"""Digest of the document that a poll is about."""
LOT_COMMITMENT: Final = "icn/lot-commitment/v1"
"""Commitment of a teller to a secret."""
LOT_BEACON: Final = "icn/lot-beacon/v1"
"""What the tellers' secrets and the ballots' commitments make together."""
POLL_RESULT: Final = "icn/poll-result/v1"
"""Digest of a poll's result."""
DECISION_TEXT: Final = "icn/decision-text/v1"
"""Digest of the text of a decision without a poll."""
SIGN_IN: Final = "icn/sign-in/v1"
"""Signing a gateway's challenge, to read as oneself."""
MARKETPLACE_ID: Final = "icn/marketplace-id/v1"
"""Id of what a command makes in the marketplace."""
MEMO: Final = "icn/memo/v1"
"""Commitment to a memo's text."""
MEMO_KEY: Final = "icn/memo-key/v1"
"""Sealing a memo's key to a party's key."""

ALL: Final = (
    TRANSACTION,
    TRANSACTION_ID,
    ENTRY,
    SUB_ACCOUNTS,
    TRIAL_BALANCE,
    STATEMENT,
    BLOCK,
    PROPOSAL,
    NOTARIZE,
    NULLIFY,
    FINALIZE,
    CONSENSUS_KEY,
    RECOVERY,
    RECOVERY_DIGEST,
    HELLO,
    CERTIFICATE,
    KEY,
    VALIDATOR_SET,
    STATE_KEY,
    LOT,
    GENESIS,
    CONTRACT,
    COMMAND,
    COMMAND_ID,
    DECISION,
    DECISION_ID,
    BALLOT,
    CONTRACT_EVENTS,
    POLL_DOCUMENT,
    LOT_COMMITMENT,
    LOT_BEACON,
    POLL_RESULT,
    DECISION_TEXT,
    SIGN_IN,
    MARKETPLACE_ID,
    MEMO,
    MEMO_KEY,
)
"""Every tag in use; no two are equal."""
