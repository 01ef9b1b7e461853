"""What the door does, in terms of ports."""
