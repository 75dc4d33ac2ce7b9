"""Texts of the area "server": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
