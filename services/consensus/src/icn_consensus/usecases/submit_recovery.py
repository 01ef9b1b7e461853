"""SubmitRecovery: an operator hands over the certificate that starts the chain again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RecoveryInvalid, parse_recovery
from icn_kit.errors import FailedPrecondition, InvalidArgument

from icn_consensus.domain.events import Event, RecoveryReceived
from icn_consensus.domain.recovering import RecoveryRefused
from icn_consensus.domain.replica import Replica, Status
from icn_consensus.usecases.ports import Application

BEGINS_WITHIN_SECONDS: Final = 2.0
"""One fdatasync and a turn of the core, where no block is missing."""
POLL_SECONDS: Final = 0.02


async def submit_recovery(
    data: bytes, replica: Replica, application: Application, put: Callable[[Event], None], public_key: bytes
) -> tuple[bool, Status]:
    """Hand a certificate to the core, and wait until its epoch has begun where nothing is missing for it.

    The application is asked first where it can tell: a key that was named before shows in its state only, and
    an epoch of which it takes no block would stand still until the organizations have signed for another.

    Returns:
        Whether it has begun, and where this validator stands.

    Raises:
        InvalidArgument: MALFORMED_RECOVERY, or the reason of the rule that the certificate breaks.
        FailedPrecondition: RECOVERY_OTHER_CHAIN, RECOVERY_OTHER_ROOT, RECOVERY_EPOCH_PASSED: it is not for
            where this validator stands; RECOVERY_TOO_LARGE: no block of the zone takes it.
        DomainError: the application is away, or has not executed the block yet.
    """
    try:
        certificate = parse_recovery(data)
    except MalformedMessage as error:
        raise InvalidArgument("MALFORMED_RECOVERY", str(error)) from error
    status = replica.status()
    if status.epoch == certificate.epoch and replica.is_begun_by(certificate):
        return True, status  # handed over again
    try:
        replica.check_recovery(certificate)
    except RecoveryRefused as refusal:
        raise FailedPrecondition(refusal.reason, str(refusal), **refusal.figures) from refusal
    except RecoveryInvalid as fault:
        raise InvalidArgument(fault.reason, str(fault), **fault.figures) from fault
    if certificate.height == status.final_height:
        await application.check_recovery(data)
    put(RecoveryReceived(public_key, data))
    end = time.monotonic() + BEGINS_WITHIN_SECONDS
    while (
        status := replica.status()
    ).epoch < certificate.epoch and status.final_height >= certificate.height:
        if time.monotonic() > end:
            break
        await asyncio.sleep(POLL_SECONDS)
    return status.epoch == certificate.epoch, status
