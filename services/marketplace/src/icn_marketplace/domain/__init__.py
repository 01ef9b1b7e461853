"""Values, rules and state transitions; pure."""
