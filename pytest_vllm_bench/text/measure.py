"""Texts of the area "measure": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
