"""The replicated state machine of mutual credit."""
