"""The ways into a model: tokens, vectors, and the category columns of a table."""

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError


def embed(dim: int, vocab_size: int | None, in_features: int | None, std: float = 1.0) -> nn.Embedding | nn.Linear:
    """Tokens (B, T), or vectors (B, T, F), to (B, T, dim); `weight` of the former is (V, dim): a head may tie it.

    `std` is that of the initial vectors of tokens. Raises ConfigError unless exactly one of the two sizes is given.
    """
    if (vocab_size is None) == (in_features is None):
        raise ConfigError(["model: give vocab_size (for tokens) or in_features (for vectors), one of the two"])
    if in_features is not None:
        return nn.Linear(in_features, dim)
    assert vocab_size is not None
    tokens = nn.Embedding(vocab_size, dim)
    nn.init.normal_(tokens.weight, std=std)
    return tokens


class CategoryEmbedding(nn.Module):
    """Codes (B, N) of N category columns to (B, N * dim): one table, a part for each column (Guo and Berkhahn, 2016).

    `categories[i]` is the number of codes of column i, the code for unknown or missing values included.
    """

    offsets: Tensor

    def __init__(self, categories: list[int], dim: int):
        super().__init__()
        self.dim = len(categories) * dim
        self.table = nn.Embedding(sum(categories), dim)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        offsets = torch.tensor([0, *categories[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        return self.table(codes + self.offsets).flatten(1)
