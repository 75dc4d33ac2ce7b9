"""LLM-serving benchmarks as parametrized pytest tests, with verdicts that can be trusted."""

__version__ = "0.1.0"
