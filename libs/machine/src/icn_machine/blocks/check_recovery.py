"""CheckRecovery: whether a certificate starts the chain again behind a block that was executed here."""

from __future__ import annotations

from icn_chain import recovery
from icn_chain.header import parse_header
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RecoveryCertificate, RecoveryInvalid, parse_recovery
from icn_chain.validator_set import parse_validator_set
from icn_kit.errors import InvalidArgument
from icn_kit.genesis import Genesis

from icn_machine.blocks.ports import ExecutedBlock, State, StateBehind
from icn_machine.touched import RecordNames


async def check_recovery(data: bytes, genesis: Genesis, state: State) -> None:
    """Pass when blocks of the certificate's epoch will be valid here.

    Raises:
        InvalidArgument: a reason of `read_recovery`.
        StateBehind: the block that it names is not executed.
    """
    newest = state.newest
    try:
        certificate = parse_recovery(data)
        if certificate.height > newest.height:
            raise StateBehind(certificate.height, newest.height)
        await read_recovery(data, newest, certificate.epoch, genesis, state)
    except MalformedMessage as error:
        raise InvalidArgument("MALFORMED_RECOVERY", str(error)) from error
    except RecoveryInvalid as fault:
        raise InvalidArgument(fault.reason, str(fault), **fault.figures) from fault


async def read_recovery(
    data: bytes, parent: ExecutedBlock, epoch: int, genesis: Genesis, state: State
) -> RecoveryCertificate:
    """Read the certificate that the first block of an epoch carries.

    Args:
        data: its bytes.
        parent: the block before the one that carries it.
        epoch: of the block that carries it.

    Raises:
        RecoveryInvalid: MALFORMED_RECOVERY, RECOVERY_EPOCH_INVALID, RECOVERY_OTHER_ROOT, CONSENSUS_KEY_USED;
            or as `icn_chain.recovery.check_recovery`.
    """
    try:
        certificate = parse_recovery(data)
    except MalformedMessage as error:
        raise RecoveryInvalid("MALFORMED_RECOVERY", str(error)) from error
    if certificate.epoch != epoch:
        raise RecoveryInvalid(
            "RECOVERY_EPOCH_INVALID",
            f"it begins epoch {certificate.epoch}, the block is of {epoch}",
            epoch=certificate.epoch,
            epoch_of_block=epoch,
        )
    header = parse_header(genesis.hash, parent.header)
    sets = await state.load_validator_sets((header.validator_set_hash,))
    seated = parse_validator_set(sets[header.validator_set_hash])
    recovery.check_recovery(certificate, header, seated, genesis.hash, genesis)
    if certificate.state_root != parent.state_root:
        raise RecoveryInvalid(
            "RECOVERY_OTHER_ROOT",
            f"it names state root {certificate.state_root.hex()} after height {parent.height}, "
            f"ours is {parent.state_root.hex()}",
        )
    public_keys = certificate.validators.public_keys
    named = (await state.load(RecordNames(consensus_keys=set(public_keys)))).consensus_keys
    for public_key in public_keys:
        leaf = named[public_key]
        if leaf is not None and leaf.height <= parent.height:
            raise RecoveryInvalid("CONSENSUS_KEY_USED", f"{public_key.hex()} was named in epoch {leaf.epoch}")
    return certificate
