"""Texts of the area "backends": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
