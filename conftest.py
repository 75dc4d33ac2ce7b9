"""Registers the plugin for a checkout that is not installed; an installed one is already there by its entry point."""

pytest_plugins = ["pytest_vllm_bench.plugin"]
