"""Texts of the area "cli": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
