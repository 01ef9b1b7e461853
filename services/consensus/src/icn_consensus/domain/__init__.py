"""The sans-I/O core: Simplex as pure state transitions. docs/spec/consensus.md."""
