"""The built-in server: SimulatorOptions → a process that answers like an LLM server, at a known speed.

``engine`` is the latency model, pure; ``formats`` are the servers' languages; ``server`` joins them on a socket.
"""
