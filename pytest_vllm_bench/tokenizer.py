"""Name, folder or file of a tokenizer → counts, encodings and the vocabulary that prompts are made from."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Scenario

#: The small vocabulary that ships with the simulator.
SMALL = Path(__file__).parent / "simulator" / "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTokenizer:
    """The server's own ``/tokenize`` and ``/detokenize``, as blocking calls over batches (without special tokens)."""

    tokenize: Callable[[Sequence[str]], list[list[int]]]
    detokenize: Callable[[Sequence[Sequence[int]]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A vocabulary.  ``overhead``: tokens it adds to a prompt by itself (BOS), not counted by ``encode_batch``."""

    source: str  # what the result says: "tokenizer.json: …", "transformers: …", "server", "ids", "simulator"
    digest: str  # of the vocabulary's bytes; two with the same digest count alike
    vocab_size: int
    encode_batch: Callable[[Sequence[str]], list[list[int]]] = field(repr=False)
    decode_batch: Callable[[Sequence[Sequence[int]]], list[str]] = field(repr=False)
    count_batch: Callable[[Sequence[str]], list[int]] | None = field(default=None, repr=False)  # where faster
    vocabulary: Callable[[], Mapping[str, int]] | None = field(default=None, repr=False)  # None: unknown here
    special_ids: frozenset[int] = field(default=frozenset(), repr=False)
    overhead: int = 0
    takes_text: bool = True  # False: token ids alone, nothing can be counted

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        if self.count_batch is not None:
            return self.count_batch(texts)
        return [len(ids) for ids in self.encode_batch(texts)]


def wanted(scenario: Scenario) -> str | None:
    """What ``load`` is asked for: the config's word; of what is simulated the simulator's own."""
    simulated = scenario.target.simulated or scenario.target.twin
    return scenario.tokenizer or ("simulator" if simulated else None)


def load(spec: str | None, model: str, *, server: ServerTokenizer | None = None) -> Tokenizer:
    """The tokenizer that ``spec`` names: a folder, a file, a hub name, "server", "ids" or "simulator".

    None means the model's own, and the server's if that cannot be had.  Raises DataError with every way out.
    """
    if spec == "ids":
        return _ids()
    if spec == "simulator":
        return from_file(SMALL, source="simulator")
    if spec == "server":
        if server is None:
            raise DataError("plan.tokenizer_no_server")
        return _from_server(server)
    name = spec or model
    path = files.path(name)
    if os.path.exists(path):
        return _from_path(path)
    if spec is None and server is not None and not _cached(name):
        return _from_server(server)
    return _from_hub(name)


def from_file(path: Path, *, source: str = "") -> Tokenizer:
    """Read a ``tokenizer.json`` (36 ms of imports, where transformers takes over a second)."""
    from tokenizers import Tokenizer as Fast

    try:
        raw = path.read_bytes()
        fast = Fast.from_buffer(raw)
    except (OSError, ValueError) as error:
        raise DataError("plan.tokenizer_broken", path=str(path), error=str(error)) from error
    return _from_fast(fast, source=source or f"tokenizer.json: {path}", digest=_digest([raw]))


def _from_fast(fast: Any, *, source: str, digest: str, overhead: int | None = None) -> Tokenizer:
    fast.no_truncation()
    fast.no_padding()
    special = frozenset(i for i, token in fast.get_added_tokens_decoder().items() if token.special)

    def encode_batch(texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in fast.encode_batch_fast(list(texts), add_special_tokens=False)]

    def count_batch(texts: Sequence[str]) -> list[int]:
        return [len(e) for e in fast.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode_batch(ids: Sequence[Sequence[int]]) -> list[str]:
        return list(fast.decode_batch([list(i) for i in ids], skip_special_tokens=False))

    return Tokenizer(
        source=source,
        digest=digest,
        vocab_size=fast.get_vocab_size(with_added_tokens=True),
        encode_batch=encode_batch,
        decode_batch=decode_batch,
        count_batch=count_batch,
        vocabulary=lambda: fast.get_vocab(with_added_tokens=False),
        special_ids=special,
        overhead=len(fast.encode("", add_special_tokens=True).ids) if overhead is None else overhead,
    )


#: How the families that ship tiktoken files (Qwen, GLM, Kimi) cut text before merging.
_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _ranked(path: Path) -> bool:
    return path.suffix == ".tiktoken" or path.name == "tiktoken.model"


def _from_ranks(path: Path) -> Tokenizer:
    """Read tiktoken's format: a line a token, base64 and rank.

    A merge's priority is the rank of what it makes, so every way to split a token in two is a merge of that rank.
    """
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Fast

    try:
        raw = path.read_bytes()
        lines = [line.split() for line in raw.splitlines() if line.strip()]
        ranks = {b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (OSError, ValueError) as error:
        raise DataError("plan.tokenizer_broken", path=str(path), error=str(error)) from error
    letters = _byte_letters()
    spelled = {token: "".join([letters[b] for b in token]) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = [(token[:i], token[i:]) for i in range(1, len(token))]
        known = [(a, b) for a, b in halves if a in ranks and b in ranks]
        known.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [(spelled[a], spelled[b]) for a, b in known]
    fast = Fast(models.BPE(vocab={spelled[t]: r for t, r in ranks.items()}, merges=merges))
    fast.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(_CUT), "isolated")
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    fast.decoder = decoders.ByteLevel()
    return _from_fast(fast, source=f"tiktoken: {path}", digest=_digest([raw]))


def _byte_letters() -> dict[int, str]:
    """Byte → the printable character that byte-level vocabularies write for it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    hidden = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


def _from_path(path: Path) -> Tokenizer:
    if path.is_file():
        return _from_ranks(path) if _ranked(path) else from_file(path)
    json_file = path / "tokenizer.json"
    if json_file.is_file():
        return from_file(json_file)
    try:
        there = sorted(path.iterdir())
    except OSError as error:  # a device, a pipe, a folder that may not be looked into
        raise DataError("plan.tokenizer_broken", path=str(path), error=error.strerror or str(error)) from None
    if ranked := next(filter(_ranked, there), None):
        return _from_ranks(ranked)
    if not there:
        raise DataError("plan.tokenizer_empty_folder", path=str(path))
    return _from_transformers(str(path), offline=True)


def _cached(name: str) -> Path | None:
    """The folder of a hub name that is already on this machine, in the hub's cache or in ModelScope's."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("tokenizer.json", "tokenizer_config.json"):
        try:
            found = try_to_load_from_cache(name, file)
        except HFValidationError:
            break
        if isinstance(found, str):
            return Path(found).parent
    root = Path(os.environ.get("MODELSCOPE_CACHE", "~/.cache/modelscope")).expanduser()
    for folder in (root / "hub" / "models" / name, root / "hub" / name, root / "models" / name):
        if folder.is_dir():
            return folder
    return None


def _from_hub(name: str) -> Tokenizer:
    """Offline first: what lies in a cache is never looked up again; ``HF_ENDPOINT`` is honoured by the hub's client."""
    folder = _cached(name)
    if folder is not None and (folder / "tokenizer.json").is_file():
        return from_file(folder / "tokenizer.json", source=f"tokenizer.json: {name}")
    if folder is not None:
        return _from_transformers(str(folder), offline=True)
    if os.environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true"):
        return _from_modelscope(name)
    found = _download(name)
    if found is not None:
        return from_file(found, source=f"tokenizer.json: {name}")
    return _from_transformers(name, offline=False)


def _download(name: str) -> Path | None:
    """The hub's ``tokenizer.json``; None where the model has none."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    problem = "" if constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
    if problem:
        raise DataError("plan.tokenizer_unreachable", name=name, error=problem)
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except LocalEntryNotFoundError as error:  # before EntryNotFoundError, whose child it is
        raise DataError("plan.tokenizer_unreachable", name=name, error=_first_line(error)) from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise DataError("plan.tokenizer_unreachable", name=name, error=_first_line(error)) from error


def unreachable(endpoint: str) -> str:
    """Why there is no way to the hub, or nothing; in seconds, where its own client tries for half a minute a file."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=10).close()
    except HTTPError:
        return ""  # it answers, in whatever way
    except (URLError, TimeoutError) as error:
        # Python's own certificates may be missing where the hub's client has others.
        return "" if "certificate" in str(error).lower() else f"{endpoint}: {error}"
    return ""


def _from_modelscope(name: str) -> Tokenizer:
    try:
        snapshot_download = import_module("modelscope").snapshot_download
    except ImportError as error:
        raise DataError("plan.tokenizer_modelscope", name=name) from error
    try:
        folder = snapshot_download(name, allow_patterns=["*token*", "*.json", "*.model", "*.txt"])
    except (OSError, ValueError) as error:
        raise DataError("plan.tokenizer_unreachable", name=name, error=_first_line(error)) from error
    return _from_path(Path(folder))


def _from_transformers(name: str, *, offline: bool) -> Tokenizer:
    """What has no ``tokenizer.json``."""
    loaded = _auto(name, offline=offline)
    source = f"transformers: {name}"
    overhead = int(loaded.num_special_tokens_to_add(pair=False))
    fast = getattr(loaded, "backend_tokenizer", None)
    if fast is not None:
        return _from_fast(fast, source=source, digest=_digest([fast.to_str().encode()]), overhead=overhead)
    vocab = loaded.get_vocab()

    def encode_batch(texts: Sequence[str]) -> list[list[int]]:
        return [list(loaded.encode(text, add_special_tokens=False)) for text in texts]

    return Tokenizer(
        source=source,
        digest=_digest(f"{word}\0{i}".encode() for word, i in sorted(vocab.items())),
        vocab_size=len(loaded),
        encode_batch=encode_batch,
        decode_batch=lambda ids: [str(loaded.decode(list(i))) for i in ids],
        vocabulary=lambda: vocab,
        special_ids=frozenset(loaded.all_special_ids),
        overhead=overhead,
    )


def _auto(name: str, *, offline: bool) -> Any:
    """What transformers makes of a folder or a hub name; remote code is never run."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=offline, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
        key = "plan.tokenizer_broken" if offline else "plan.tokenizer_unreachable"
        raise DataError(key, name=name, path=name, error=_first_line(error)) from error


def with_template(spec: str | None, model: str) -> Any:
    """The same tokenizer as ``load``'s, as transformers has it: with its chat template.

    Raises DataError where ``spec`` is none that could have one, or has none.
    """
    if spec in ("ids", "server", "simulator"):
        raise DataError("plan.template_of_none", tokenizer=spec)
    name = spec or model
    path = files.path(name)
    folder = (path.parent if path.is_file() else path) if os.path.exists(path) else _cached(name)
    # Of a model on the hub, ``load`` needs no more than its tokenizer.json.
    local = folder is not None and (os.path.exists(path) or (folder / "tokenizer_config.json").is_file())
    loaded = _auto(str(folder) if local else name, offline=local)
    if not loaded.chat_template:
        raise DataError("plan.template_absent", name=name)
    return loaded


def _from_server(server: ServerTokenizer) -> Tokenizer:
    probe = "The quick brown fox, 12345 × 你好 — naïve façade."
    ids = server.tokenize([probe])[0]
    return Tokenizer(
        source="server",
        digest=_digest([repr(ids).encode()]),
        vocab_size=max(ids, default=0) + 1,  # all that is known from outside
        encode_batch=server.tokenize,
        decode_batch=server.detokenize,
    )


def _ids() -> Tokenizer:
    def refuse(_: Sequence[Any]) -> Any:
        raise DataError("plan.tokenizer_ids_only")

    # 8,192 is below the vocabulary of every model that is served, and above its control tokens.
    return Tokenizer(
        source="ids",
        digest="ids",
        vocab_size=8192,
        encode_batch=refuse,
        decode_batch=refuse,
        special_ids=frozenset(range(1000)),
        takes_text=False,
    )


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@cache
def common_words() -> tuple[str, ...]:
    """English words that most vocabularies hold as one token; for tokenizers whose vocabulary cannot be listed."""
    return tuple((Path(__file__).parent / "plan" / "words.txt").read_text("utf-8").split())
