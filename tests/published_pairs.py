"""Small encoder-decoders with random weights, in folders as transformers saves them: their tokens are a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from published import ANGLES, BART, T5, WORDS, words

HALVES = BART | {"encoder_layers": 2, "decoder_layers": 2, "scale_embedding": True}
ROLES = ["<pad>", "</s>", "<unk>", "<s>", "<mask>"]
LANGUAGES = [*ANGLES, *WORDS, "<mask>", "<en_XX>", "<de_DE>"]
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {  # what config.json says, and all tokens in order
    "t5": (T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, [*ROLES, *WORDS]),
    "mt5": (T5, [*ROLES, *WORDS]),
    "umt5": (T5, [*ROLES, *WORDS]),
    "bart": (HALVES, [*ANGLES, *WORDS, "<mask>"]),
    "mbart": (HALVES, LANGUAGES),
    "m2m_100": (HALVES, LANGUAGES),
    "marian": (HALVES, ["</s>", "<unk>", *WORDS, "<s>", "<mask>", "<pad>"]),
    "pegasus": (HALVES, [*ROLES[:2], *WORDS, *ROLES[2:]]),
    "blenderbot": (HALVES, ["<pad>", "<s>", "</s>", "<unk>", *WORDS, "<mask>"]),
}
"""All have a token for each of ours: one that theirs lack would take a share of every probability."""
FIRST = {"bart": "<s>", "mbart": "<de_DE>", "m2m_100": "<de_DE>"}
"""What is then the first of all that they write."""
STARTS = {"bart": "</s>", "mbart": "</s>", "m2m_100": "</s>", "blenderbot": "<s>"}
"""What their decoders read first, where that is not their padding."""
MARKS = {"bart": "<s>", "mbart": "<en_XX>", "m2m_100": "<en_XX>"}
"""What stands before every text."""


def config(kind: str, **more: Any) -> dict[str, Any]:
    """What a config.json says, all of it."""
    own, tokens = KINDS[kind]
    roles = (("pad", "<pad>"), ("bos", "<s>"), ("eos", "</s>"), ("decoder_start", STARTS.get(kind, "<pad>")))
    ids = {f"{role}_token_id": tokens.index(token) for role, token in roles}
    return {"model_type": kind, "vocab_size": len(tokens), "forced_eos_token_id": None} | ids | own | more


def save(folder: Path, kind: str, **more: Any) -> Any:
    """A model in a folder, with its tokenizer; returns that model."""
    import transformers

    given, tokens = config(kind, **more), KINDS[kind][1]
    settings = transformers.AutoConfig.for_model(given.pop("model_type"), **given)
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(settings)
    uneven(model)
    if kind in FIRST:
        model.generation_config.forced_bos_token_id = tokens.index(FIRST[kind])
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    words(tokens, MARKS.get(kind, ""), "</s>").save(str(folder / "tokenizer.json"))
    return model.eval()


@torch.no_grad()
def uneven(model: Any) -> None:
    """Weights that make the scores of tokens far from even."""
    for weight in (weight for weight in model.parameters() if weight.requires_grad):
        weight.add_((0.5 if weight.ndim == 2 else 0.2) * torch.randn_like(weight))
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_()
