"""``make_model.py whisper|llama FOLDER``: a tiny model with a tokenizer of its own (needs torch, transformers)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
)

TURN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
ASSISTANT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SENTENCES = ["a small model learns to read from few words, and it reads them again and again"] * 50


def byte_level(size: int, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def llama(folder: Path) -> None:
    tokenizer = byte_level(320, ["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    wrapped.chat_template = TURN + ASSISTANT
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def whisper(folder: Path) -> None:
    """Its weights are made up where it is served; vLLM wants a head of 64."""
    named = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startoflm", "startofprev"]
    named += ["nospeech", "notimestamps"]
    special = [f"<|{name}|>" for name in named] + [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    tokenizer = byte_level(300, [])
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab()
    core = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(core["vocab"]), "utf-8")
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in core["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), "utf-8")
    end, start = vocabulary["<|endoftext|>"], vocabulary["<|startoftranscript|>"]
    words = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    settings = {
        **words,
        "tokenizer_class": "WhisperTokenizer",
        "model_max_length": 448,
        "additional_special_tokens": special[1:10],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)  # type: ignore[no-untyped-call]
    config = WhisperConfig(
        vocab_size=len(vocabulary),
        d_model=128,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=1500,
        max_target_positions=448,
        num_mel_bins=80,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
    )
    config.architectures = ["WhisperForConditionalGeneration"]
    config.save_pretrained(folder)
    extend(folder / "config.json", torch_dtype="float32")
    features = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    extend(folder / "preprocessor_config.json", processor_class="WhisperProcessor", **features)


def extend(path: Path, **more: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **more}), "utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    {"whisper": whisper, "llama": llama}[sys.argv[1]](folder)
