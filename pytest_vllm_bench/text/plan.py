"""Texts of the area "plan": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
