"""Asked lengths → random text with images, or a film's frames, made for each request."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Media, Message, Prompt
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.datasets import random
from pytest_vllm_bench.plan.media import pillow
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.spelling import spell

if TYPE_CHECKING:
    from numpy.random import RandomState

#: Colours are drawn for a grid of this width and blended: files as large as photographs; noise would be ten times.
GRID = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMediaOptions:
    """``images`` pictures of ``width`` × ``height``, or one film of ``video_frames`` such pictures."""

    images: int = option(1, low=0)
    video_frames: int = option(0, low=0)
    width: int = option(512, low=8, high=8192)
    height: int = option(512, low=8, high=8192)
    format: str = option("jpeg", one_of=("jpeg", "png"))
    range_ratio: float = option(0.0, low=0.0, high=0.999)
    prefix_len: int = option(0, low=0)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """The text has exactly its length; what the media add to it is the model's affair, so the whole is unknown."""
    options: RandomMediaOptions = wanted.options
    needed = {"image"} if options.images else set()
    needed |= {"video"} if options.video_frames else set()
    for kind in sorted(needed - wanted.backend.takes_media):
        raise DataError("plan.media_not_taken", backend=wanted.backend.name, kind=kind)
    image = pillow("random_mm")
    # Pictures are content like words: new in every cold run, since servers cache what they have seen.
    draw = stream(wanted.salt, *wanted.seed, "media")
    for prompt in spell(wanted, random.drafts(wanted, wanted.n)):
        media = tuple(_picture(image, draw, options) for _ in range(options.images))
        if options.video_frames:
            media += (_film(image, draw, options),)
        yield replace(prompt, media=media, input_len=None if media else prompt.input_len)


def _encoded(image: Any, draw: RandomState, options: RandomMediaOptions, form: str) -> bytes:
    import numpy as np

    grid = draw.randint(0, 256, (GRID, GRID, 3), dtype=np.uint8)
    size = (options.width, options.height)
    out = io.BytesIO()
    image.fromarray(grid).resize(size, image.Resampling.BICUBIC).save(out, form.upper())
    return out.getvalue()


def _picture(image: Any, draw: RandomState, options: RandomMediaOptions) -> Media:
    return Media(kind="image", data=_encoded(image, draw, options, options.format), mime=f"image/{options.format}")


def _film(image: Any, draw: RandomState, options: RandomMediaOptions) -> Media:
    """Frames as JPEGs in one data URL, separated by commas: what vLLM and SGLang take without a video container."""
    frames = [_encoded(image, draw, options, "jpeg") for _ in range(options.video_frames)]
    listed = ",".join(base64.b64encode(frame).decode("ascii") for frame in frames)
    return Media(kind="video", url=f"data:video/jpeg;base64,{listed}")


def problems(options: RandomMediaOptions) -> list[Message]:
    if not options.images and not options.video_frames:
        return [Message(key="plan.no_media", values={})]
    return []


DATASET = Dataset(
    options=RandomMediaOptions,
    prompts=prompts,
    lengths="both",
    extra=problems,
)
