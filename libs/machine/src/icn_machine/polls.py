"""Polls and the commitments of their voters. Source: docs/spec/transaction.md, "Memberships, polls"."""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.events import BallotCast, PollClosed, PollOpened
from icn_machine.governed import is_organization
from icn_machine.limits import POLL_AHEAD_MS_MAX
from icn_machine.memberships import is_member
from icn_machine.messages import CastBallot, OpenPoll, Transaction
from icn_machine.posting import BlockContext, occupy
from icn_machine.records import Ballot, Electorate, MembershipStatus, Poll
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def open_poll(
    working: WorkingSet, transaction: Transaction, message: OpenPoll, context: BlockContext, _index: int
) -> None:
    """Open a poll among an organization's members."""
    polls = working.now.polls
    if polls[message.poll] is not None:
        raise Refused(refusals.POLL_EXISTS)
    organization, acting = message.organization, transaction.principal
    if not is_organization(working, organization):
        raise Refused(refusals.ORGANIZATION_UNKNOWN)
    if acting != organization and not is_member(working, organization, acting):
        raise Refused(refusals.NOT_A_MEMBER)
    if not context.time_ms < message.close_time_ms <= context.time_ms + POLL_AHEAD_MS_MAX:
        raise Refused(refusals.POLL_CLOSE_OUT_OF_RANGE, *_close_and_now(message.close_time_ms, context))
    authority, open_ms = working.now.authorities[organization], message.close_time_ms - context.time_ms
    if authority is not None and open_ms < authority.rules.shortest_poll_ms:
        raise Refused(
            refusals.POLL_TOO_SHORT,
            ("open_ms", open_ms),
            ("poll_ms_min", authority.rules.shortest_poll_ms),
        )
    poll = Poll(
        message.poll,
        organization,
        message.electorate,
        message.document,
        acting,
        context.time_ms,
        message.close_time_ms,
        0,
        b"",
        b"",
        False,
    )
    working.put(polls, message.poll, poll)
    occupy(working, transaction.payer, 1)
    working.events.append(PollOpened(poll))


def cast_ballot(
    working: WorkingSet, transaction: Transaction, message: CastBallot, context: BlockContext, _index: int
) -> None:
    """Commit the acting principal to a ballot, or to another one instead."""
    polls, ballots, voter = working.now.polls, working.now.ballots, transaction.principal
    poll = polls[message.poll]
    if poll is None:
        raise Refused(refusals.POLL_UNKNOWN)
    if context.time_ms >= poll.close_time_ms:
        raise Refused(refusals.POLL_CLOSED, *_close_and_now(poll.close_time_ms, context))
    _check_eligible(working, poll, voter, message.through)
    before = ballots[poll.poll + voter]
    if before is None:
        working.put(polls, poll.poll, poll._replace(ballots=poll.ballots + 1))
        occupy(working, transaction.payer, 1)
    ballot = Ballot(
        poll.poll,
        voter,
        message.commitment,
        message.through,
        context.time_ms,
        transaction.payer if before is None else before.payer,
    )
    working.put(ballots, poll.poll + voter, ballot)
    working.events.append(BallotCast(poll.organization, ballot, before is not None))


def close(working: WorkingSet, poll: Poll) -> None:
    """Close a poll whose time has come, so that its leaf proves that no ballot follows."""
    closed = poll._replace(is_closed=True)
    working.put(working.now.polls, poll.poll, closed)
    working.events.append(PollClosed(closed))


def _check_eligible(working: WorkingSet, poll: Poll, voter: bytes, through: bytes) -> None:
    if poll.electorate is Electorate.MEMBERS:
        if through:
            raise _not_eligible(0, poll)
        _check_member(working, poll, poll.organization, voter)
        return
    if not through:
        raise _not_eligible(0, poll)
    _check_member(working, poll, poll.organization, through)
    _check_member(working, poll, through, voter)


def _check_member(working: WorkingSet, poll: Poll, organization: bytes, member: bytes) -> None:
    """Refuse who is no member now, or became one after the poll was opened."""
    membership = working.now.memberships[organization + member]
    if membership is None or membership.status is not MembershipStatus.ACTIVE:
        raise _not_eligible(0, poll)
    if membership.since_time_ms > poll.open_time_ms:
        raise _not_eligible(membership.since_time_ms, poll)


def _not_eligible(since_time_ms: int, poll: Poll) -> Refused:
    return Refused(
        refusals.NOT_ELIGIBLE, ("since_time_ms", since_time_ms), ("open_time_ms", poll.open_time_ms)
    )


def _close_and_now(close_time_ms: int, context: BlockContext) -> refusals.Figures:
    return ("close_time_ms", close_time_ms), ("block_time_ms", context.time_ms)
