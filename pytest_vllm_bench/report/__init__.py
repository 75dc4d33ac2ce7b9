"""JSON dicts of results → files, tables, pages and pictures; nothing here needs a live session.

``artifacts.to_json`` makes the dict; ``folder`` writes and reads it; everything else shows one or many of them.
"""
