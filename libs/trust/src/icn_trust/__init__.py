"""Evidence, seeded trust scores, their explanations. Pure: no I/O."""
