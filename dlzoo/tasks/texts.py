"""What tasks on texts share: their tokenizer, texts as tokens, and reading those of a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dlzoo import jsontext
from dlzoo.choices import Tokens, TokenSource
from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError
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


def lm_head(backbone: nn.Module) -> nn.Module | None:
    """The layers from features (B, T, D) to scores (B, T, V) that go with a backbone; None where none do."""
    own = getattr(backbone, "lm_head", None)
    return own() if own is not None else None


def read(source: Path | str, column: str | None, style: dict[str, Any]) -> Iterator[Sample | DataError]:
    """A .txt file is one text, a file of rows has one in each row; an argument or a line is one, or a JSON object with
    one.

    Raises DataError for a file that cannot be read or lacks the column.
    """
    from dlzoo.data.rows import SUFFIXES
    from dlzoo.data.text_files import read_texts

    if isinstance(source, Path):
        yield from read_texts(source, column if source.suffix.lower() in SUFFIXES else None, **style)
        return
    words = source
    if source.lstrip().startswith("{"):
        try:
            row = jsontext.loads(source)
        except ValueError:
            row = {}
        words = row.get(column or "text", source)
    yield {"text": words if isinstance(words, str) else source, "source": source}
