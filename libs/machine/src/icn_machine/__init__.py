"""The replicated state machine of a zone: what blocks may hold, what they do, and the roots they lead to."""
