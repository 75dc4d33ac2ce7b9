"""Texts of the area "load": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
