"""Ballots and exact counts that anybody can repeat. Pure: no I/O."""
