"""Evidence of settled and failed commitments as explained scores."""
