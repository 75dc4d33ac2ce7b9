"""Watching the server from outside the measured time: is it there, what does it serve, what do its counters say."""
