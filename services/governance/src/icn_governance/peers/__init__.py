"""The validators."""
