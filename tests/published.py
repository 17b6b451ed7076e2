"""Small language models with random weights, in folders as transformers saves them: their tokens are a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

WORDS = "the cat sat on a mat and dog ran to see me in all my years".split()
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 20}
T5 = {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 20}
BART = {"d_model": 16, "max_position_embeddings": 24} | {
    f"{half}_{key}": value
    for half in ("encoder", "decoder")
    for key, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 20))
}
BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ANGLES = ["<s>", "<pad>", "</s>", "<unk>"]
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {  # what config.json says, and all tokens in order
    "bert": (SMALL | {"max_position_embeddings": 24}, [BRACKETS[0], *WORDS[:4], *BRACKETS[1:], *WORDS[4:]]),
    "distilbert": (
        {"n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 20, "max_position_embeddings": 24},
        [BRACKETS[0], *WORDS[:4], *BRACKETS[1:], *WORDS[4:]],
    ),
    "roberta": (SMALL | {"max_position_embeddings": 26, "pad_token_id": 1}, [*ANGLES, *WORDS, "<mask>"]),
    "gpt2": ({"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24}, [*WORDS, "<|endoftext|>"]),
    "llama": (SMALL | {"num_key_value_heads": 1, "rms_norm_eps": 1e-5}, ["<unk>", "<s>", "</s>", *WORDS]),
    "gemma2": (
        SMALL | {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 3},
        ["<pad>", "</s>", "<s>", "<unk>", *WORDS],
    ),
    "opt": (
        {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "ffn_dim": 20}
        | {"word_embed_proj_dim": 16, "max_position_embeddings": 24},
        [*ANGLES, *WORDS],
    ),
    "t5": (T5, ["<pad>", "</s>", "<unk>", *WORDS]),
    "bart": (BART, [*ANGLES, *WORDS, "<mask>"]),
}
MARKED = {"bert": ("[CLS]", "[SEP]"), "distilbert": ("[CLS]", "[SEP]"), "roberta": ("<s>", "</s>"), "t5": ("", "</s>")}
SPARE = 3
"""Rows of an embedding that no token has, as many models have them."""


def config(kind: str, **more: Any) -> dict[str, Any]:
    """What a config.json says, all of it."""
    own, tokens = KINDS[kind]
    special = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
    return {"model_type": kind, "vocab_size": len(tokens) + SPARE} | special | own | more


def save(folder: Path, kind: str, *, head: bool = True, **more: Any) -> Any:
    """A model in a folder, with its tokenizer, and `head` for tokens where there is such; returns that model."""
    import transformers

    given = config(kind, **more)
    settings = transformers.AutoConfig.for_model(given.pop("model_type"), **given)
    masked = kind in ("bert", "distilbert", "roberta")
    whole = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = (whole if head and kind not in ("t5", "bart") else transformers.AutoModel).from_config(settings)
    with torch.no_grad():
        for weight in model.parameters():  # biases are zero at first, and norms one
            weight.add_(0.2 * torch.randn_like(weight))
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer(kind).save(str(folder / "tokenizer.json"))
    return model.eval()


def tokenizer(kind: str) -> Any:
    """The words of a kind, each a token."""
    return words(KINDS[kind][1], *MARKED.get(kind, ("", "")))


def words(tokens: list[str], before: str, after: str) -> Any:
    """A tokenizer whose tokens are words, and which puts two around every text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    unknown = next((token for token in ("[UNK]", "<unk>") if token in tokens), None)
    own = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unknown))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    own.add_special_tokens([token for token in tokens if token[0] in "[<"])
    if before or after:
        own.post_processor = processors.TemplateProcessing(
            single=f"{before} $A {after}".strip(),
            special_tokens=[(token, tokens.index(token)) for token in (before, after) if token],
        )
    return own


def loaded(folder: Path) -> Any:
    """The causal language model in a folder, as transformers reads it."""
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
