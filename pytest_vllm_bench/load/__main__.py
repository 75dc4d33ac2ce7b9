"""``python -m pytest_vllm_bench.load``: a measuring process, which takes its job from stdin (a socket)."""

from pytest_vllm_bench.load.worker import main

main()
