"""Watching accelerators while load runs: one file a maker."""
