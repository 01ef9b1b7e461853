"""Judging and executing blocks over a state that somebody else keeps."""
