"""DIDs, verifiable credentials, data integrity proofs and status lists. Pure: no I/O, no clock."""
