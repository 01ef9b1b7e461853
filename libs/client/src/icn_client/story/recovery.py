"""A lost key: the officers announce new ones, the member may object, and after a delay they hold."""

from __future__ import annotations

from typing import Final

from icn_kit.errors import NotFound

from icn_client import transactions
from icn_client.acting import Actor, TransactionRefused, find_actor, perform
from icn_client.story.stage import Stage, wait_for
from icn_client.transactions import KeyPair

READY_SECONDS_MAX: Final = 60.0


async def recover(stage: Stage) -> None:
    """Ivo of Lantern Press loses his phone; two of the press's three officers give him new keys."""
    ivo, press = stage.members["Ivo"], stage.coops[stage.members["Ivo"].coop]
    new = KeyPair.generate()
    announce = transactions.start_recovery(
        ivo.actor.principal, 1, [transactions.controller_key(new.public_keys)]
    )
    one = await find_actor(stage.connection, press.actor.principal, press.actor.keys[:1], lane=1)
    try:
        await perform(stage.submitter, one, [announce])
    except TransactionRefused as refusal:
        stage.check(refusal.reason == "THRESHOLD_NOT_MET", f"one officer alone is refused: {refusal.reason}")
    else:
        stage.check(False, "one officer alone is refused")
    await stage.act(press.actor, announce)
    stage.show("two of three officers announce new keys for Ivo; everybody sees them")
    await stage.act(ivo.actor, transactions.cancel_recovery(ivo.actor.principal))
    stage.check(
        not await _is_pending(stage, ivo.actor), "Ivo finds his phone in time and objects: nothing happens"
    )
    await stage.act(press.actor, announce)
    try:
        await stage.act(press.actor, transactions.complete_recovery(ivo.actor.principal))
    except TransactionRefused as refusal:
        stage.check(
            refusal.reason == "RECOVERY_NOT_READY",
            f"lost for good; before the delay is over: {refusal.reason}",
        )
    else:
        stage.check(False, "the delay is kept")

    async def is_recovered() -> bool:
        try:
            await stage.act(press.actor, transactions.complete_recovery(ivo.actor.principal))
        except TransactionRefused as refusal:
            if refusal.reason != "RECOVERY_NOT_READY":
                raise
            return False
        return True

    stage.check(
        await wait_for(is_recovered, READY_SECONDS_MAX), "after it the officers put the new keys in force"
    )
    old = ivo.actor
    ivo.actor = await find_actor(stage.connection, old.principal, (new,))
    try:
        await stage.act(old, transactions.transfer(ivo.account, stage.members["Hana"].account, 1_00))
    except TransactionRefused as refusal:
        stage.check(True, f"the lost key signs nothing any more: {refusal.reason}")
    else:
        stage.check(False, "the lost key signs nothing any more")
    await stage.pay("Ivo", "Hana", 1_00)
    stage.check((await stage.balance("Ivo")).balance_minor == -1_00, "Ivo pays Hana with his new key")


async def _is_pending(stage: Stage, actor: Actor) -> bool:
    try:
        await stage.connection.recovery(actor.principal)
    except NotFound:
        return False
    return True
