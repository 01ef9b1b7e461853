"""What is consumed, and checkpoints."""
