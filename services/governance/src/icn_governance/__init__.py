"""Organizations, offices and bylaws; proposals from draft to enactment."""
