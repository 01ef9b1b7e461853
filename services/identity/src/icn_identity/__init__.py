"""Names, keys and credentials: DIDs, memberships and offices as credentials, permission tuples."""
