"""Texts of the area "report": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
