"""The `icn` command: one module per group; whatever is slow to import is imported inside a command."""
