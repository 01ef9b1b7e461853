"""The deterministic contract engine: what a contract may be, what a call costs, and what it changes."""
