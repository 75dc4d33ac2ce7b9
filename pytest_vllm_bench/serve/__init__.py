"""The servers that are measured: found where they are, or started by a command."""
