"""Texts of the area "config": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
