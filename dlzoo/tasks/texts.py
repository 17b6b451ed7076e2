"""What tasks on texts share: their tokenizer, texts as tokens, and reading those of a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from dlzoo import jsontext
from dlzoo.choices import Tokens, TokenSource
from dlzoo.data.dataset import Sample
from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.dense import Dense
from dlzoo.task import Batch
from dlzoo.transforms import text
from dlzoo.transforms.text import UNKNOWN, Tokenizer


def tokenizer(
    source: TokenSource | None, usual: Tokens, vocab: int | None, min_count: int | None, lower: bool | None
) -> Tokenizer:
    """What a config asks for; `usual` where it says nothing. `lower` None: yes, but for one that was learned elsewhere.

    Raises ConfigError for what the tokenizer cannot do.
    """
    name = source or usual
    return text.tokenizer(name, vocab, min_count, name in get_args(Tokens) if lower is None else lower)


def places(own: Tokenizer, words: str, context: int) -> Tensor:
    """A text as tokens (T,), `context` at most: its beginning, between what the tokenizer puts around every text.

    There is one at least: a model sees something.
    """
    ids = own.encode(words)[: max(0, context - len(own.before) - len(own.after))].tolist()
    return torch.tensor([*own.before, *ids, *own.after] or [UNKNOWN])


def tied(backbone: nn.Module, embedding: nn.Module | None) -> nn.Embedding:
    """The embedding of a backbone's tokens, for a head to use its matrix. Raises ConfigError where there is none."""
    if not isinstance(embedding, nn.Embedding):
        raise ConfigError(["task.tie: this model has no embedding of tokens to tie; set tie: false"])
    if not getattr(backbone, "begun", False):  # weights that others have trained stay as they are
        with torch.no_grad():  # as rows of a head, vectors longer than 1 would start with scores far from even
            embedding.weight /= embedding.weight.norm(dim=1).mean().clamp(min=1)
    return embedding


def lose_words(batch: Batch, share: float, rng: torch.Generator) -> Batch:
    """The batch with a share of its tokens made unknown."""
    if not share:
        return batch
    x = batch.inputs["x"]
    lost = (torch.rand(x.shape, generator=rng, device=x.device) < share) & batch.inputs["mask"]
    return replace(batch, inputs=batch.inputs | {"x": x.masked_fill(lost, UNKNOWN)})


def letters(words: str) -> Tensor:
    """A text as int64 (L,), eight bytes in each, so that it goes with its tokens as far as to the answer: samples are
    sorted by their longest column, which the tokens are to be.
    """
    raw = words.encode("utf-8", "surrogatepass")
    return torch.from_numpy(np.frombuffer(raw.ljust(-(-len(raw) // 8) * 8, b"\0"), np.int64).copy())


def spelled(letters: Tensor) -> str:
    """The inverse of `letters`, but for NULs at the end."""
    return letters.cpu().numpy().tobytes().rstrip(b"\0").decode("utf-8", "surrogatepass")


def words(own: Tokenizer, ids: list[int]) -> list[tuple[str, int]]:
    """Tokens put together to words: each, and how many tokens it has. A token that begins with a space begins one, and
    so does every one where the tokenizer keeps no spaces.
    """
    groups: list[list[int]] = []
    for token in ids:
        piece = own.decode([token])
        if not groups or not own.lossless or piece[:1].isspace():
            groups.append([])
        groups[-1].append(token)
    return [(own.decode(group), len(group)) for group in groups]


def lm_head(backbone: nn.Module) -> nn.Module | None:
    """The layers from features (B, T, D) to scores (B, T, V) that go with a backbone; None where none do."""
    own = getattr(backbone, "lm_head", None)
    return own() if own is not None else None


def scores(backbone: nn.Module, size: int, tie: bool | None, embedding: nn.Module | None) -> nn.Module:
    """A head that scores `size` tokens at each place: the one that goes with the backbone, if it has one; else a new
    one, but for `tie` false of the weights of the backbone's `embedding`. Raises ConfigError for a backbone without.
    """
    assert isinstance(backbone.features, Features)
    if (own := lm_head(backbone)) is not None:
        if tie:
            raise ConfigError(["task.tie: this model has its own scores of tokens; leave it out"])
        return own
    return Dense(backbone.features, size, tie=None if tie is False else tied(backbone, embedding))


def read(
    source: Path | str, column: str | None, style: dict[str, Any], lines: bool = False
) -> Iterator[Sample | DataError]:
    """A .txt file is one text (of `lines`, one in each), a file of rows has one in each row; an argument or a line is
    one, or a JSON object with one.

    Raises DataError for a file that cannot be read or lacks the column.
    """
    from dlzoo.data.rows import SUFFIXES
    from dlzoo.data.text_files import read_texts

    if isinstance(source, Path):
        plain = "" if lines else None
        yield from read_texts(source, column if source.suffix.lower() in SUFFIXES else plain, **style)
        return
    words = source
    if source.lstrip().startswith("{"):
        try:
            row = jsontext.loads(source)
        except ValueError:
            row = {}
        words = row.get(column or "text", source)
    yield {"text": words if isinstance(words, str) else source, "source": source}
