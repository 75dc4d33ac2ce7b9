"""UNDERSTAND what came: tape entries → Records → metrics; pure."""
