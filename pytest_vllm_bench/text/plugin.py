"""Texts of the area "plugin": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
