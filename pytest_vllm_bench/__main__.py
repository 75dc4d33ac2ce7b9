"""``python -m pytest_vllm_bench`` is the command ``pytest-vllm-bench``."""

import sys

from pytest_vllm_bench.cli import main

sys.exit(main())
