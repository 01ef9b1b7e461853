"""What a proven statement says, in a sentence for people. Source: docs/spec/proof.md, "The statement"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any


def sentence(statement: Mapping[str, Any]) -> str:
    """One line that says what a valid proof shows."""
    kind = statement["kind"]
    if statement.get("is_absent"):
        return f"there is no {kind} {statement['id']}"
    return _SENTENCES[kind](statement) if kind in _SENTENCES else f"the {kind} is as shown"


def _account(said: Mapping[str, Any]) -> str:
    return (
        f"account {said['account']} stands at {said['balance_minor']} minor units, {said['held_minor']} of "
        f"them held, and has given {said['given_minor']}"
    )


def _authority(said: Mapping[str, Any]) -> str:
    threshold = (said["rules"] or {}).get("threshold", 0)
    needed = f"{threshold} of them" if threshold else "more than two thirds of them"
    return f"authority {said['authority']} has {said['members']} members, {needed} must countersign"


def _membership(said: Mapping[str, Any]) -> str:
    between = f"{said['member']} and {said['organization']}"
    if said["status"] == "active":
        return f"{said['member']} is a member of {said['organization']} since {_time(said['since_time_ms'])}"
    if said["status"] == "ended":
        return f"the membership between {between} ended at {_time(said['ended_time_ms'])}"
    return f"{said['member']} applied to {said['organization']} at {_time(said['applied_time_ms'])}"


def _poll(said: Mapping[str, Any]) -> str:
    poll = f"poll {said['poll']} among members of {said['organization']}, {said['ballots']} ballots"
    if said["decision"]:
        return f"{poll}: its result is {said['result']}, recorded by decision {said['decision']}"
    return f"{poll}: no result is recorded; ballots until {_time(said['close_time_ms'])}"


def _ballot(said: Mapping[str, Any]) -> str:
    return f"{said['voter']} is committed to {said['commitment']} in poll {said['poll']}"


def _decision(said: Mapping[str, Any]) -> str:
    return (
        f"authority {said['authority']} decided {said['subject']}: {len(said['signers'])} of "
        f"{said['members']} members countersigned, enacted at height {said['height']}"
    )


def _equivocation(said: Mapping[str, Any]) -> str:
    return f"seat {said['seat']} contradicted itself in view {said['view']} of epoch {said['epoch']}"


def _validators(said: Mapping[str, Any]) -> str:
    in_force = f"validators {said['validator_set_hash']} since epoch {said['since_epoch']}"
    if not said["pending"]:
        return in_force
    changed = sum(step["seats"] for step in said["pending"])
    return f"{in_force}; then {said['next_validator_set_hash']}, in which {changed} seats differ"


def _consensus_key(said: Mapping[str, Any]) -> str:
    return f"consensus key {said['id']} was named for {said['organization']} at height {said['height']}"


def _duty(said: Mapping[str, Any]) -> str:
    return (
        f"in epoch {said['epoch']} the seat of {said['organization']} proposed {said['proposed']} of "
        f"{said['blocks']} blocks and signed {said['signed']}"
    )


def _receipt(said: Mapping[str, Any]) -> str:
    transaction = f"transaction {said['transaction_id']}"
    if said["status"] == "applied":
        return f"{transaction} was applied, and posted {len(said['postings'])} entries"
    figures = ", ".join(f"{figure['name']} {figure['value']}" for figure in said["figures"])
    return f"{transaction} was refused: {said['reason']}" + (f" ({figures})" if figures else "")


def _entry(said: Mapping[str, Any]) -> str:
    return (
        f"entry {said['number']} of account {said['account']}, a {said['posting']} at "
        f"{_time(said['block_time_ms'])}: {said['amount_minor']} minor units, then {said['balance_minor']}"
    )


def _unit_policy(said: Mapping[str, Any]) -> str:
    return f"the policy of unit {said['id']} was set at {_time(said['set_time_ms'])}"


def _credit_line(said: Mapping[str, Any]) -> str:
    main = said["main_account"]
    owner = f"account {main}" if main else "an owner without a main account"
    return (
        f"of the trade of {owner} count {said['earned_minor']} minor units as earned "
        f"and {said['spent_minor']} as spent"
    )


def _order(said: Mapping[str, Any]) -> str:
    ordered = said["ordered"]
    release = ", once it is released" if ordered["needs_release"] else ""
    return (
        f"order {ordered['order']} pays {ordered['amount_minor']} minor units from {ordered['source']} to "
        f"{ordered['destination']}{release}; {said['times_passed']} of {ordered['times']} times have passed"
    )


def _period(said: Mapping[str, Any]) -> str:
    return (
        f"the books of unit {said['id']} up to {_time(said['end_time_ms'])} were closed by "
        f"{said['closed_by']}"
    )


def _time(time_ms: str) -> str:
    return datetime.fromtimestamp(int(time_ms) // 1000, UTC).isoformat(" ", "seconds")


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "account": _account,
    "authority": _authority,
    "membership": _membership,
    "poll": _poll,
    "ballot": _ballot,
    "decision": _decision,
    "duty": _duty,
    "equivocation": _equivocation,
    "validators": _validators,
    "consensus_key": _consensus_key,
    "receipt": _receipt,
    "entry": _entry,
    "unit_policy": _unit_policy,
    "credit_line": _credit_line,
    "order": _order,
    "period": _period,
}
