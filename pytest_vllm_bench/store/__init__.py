"""Everything that is a file."""
