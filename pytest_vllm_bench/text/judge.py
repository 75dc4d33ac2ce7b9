"""Texts of the area "judge": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
