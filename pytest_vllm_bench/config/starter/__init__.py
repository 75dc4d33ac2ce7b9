"""A folder and a language → the first config and test of somebody's own benchmark."""

from __future__ import annotations

from pathlib import Path

from pytest_vllm_bench.errors import BenchError

HERE = Path(__file__).parent


def write_starter(folder: Path, lang: str = "en", base_url: str = "simulator") -> tuple[Path, ...]:
    """Write ``config.yaml`` (comments in ``lang``) and ``test_serving.py`` into ``folder``; the files' paths.

    BenchError if one of them is there already (nothing is then written), or the folder cannot be written.
    """
    config = (HERE / f"config.{lang}.yaml").read_text(encoding="utf-8")
    texts = {
        "config.yaml": config.format(folder=folder.as_posix(), base_url=base_url),
        "test_serving.py": (HERE / "test_serving.template").read_text(encoding="utf-8"),
    }
    if there := [name for name in texts if (folder / name).exists()]:
        raise BenchError("config.starter_exists", files=", ".join(str(folder / name) for name in there))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchError("config.starter_unwritable", folder=str(folder), words=error.strerror or str(error)) from error
    return tuple(folder / name for name in texts)
