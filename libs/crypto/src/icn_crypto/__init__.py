"""Suites, signatures, hashing, Merkle structures. Pure: no I/O."""
