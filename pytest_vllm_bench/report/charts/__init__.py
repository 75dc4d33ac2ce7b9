"""JSON dicts and records → Charts."""
