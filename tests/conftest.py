"""Fixtures for tests of every area."""

from __future__ import annotations

pytest_plugins = ["pytester", "llama"]
