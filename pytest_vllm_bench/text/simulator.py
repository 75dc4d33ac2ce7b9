"""Texts of the area "simulator": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {}
