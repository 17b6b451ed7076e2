"""CNN over sequences: convolutional neural networks for sentence classification (Kim, 2014, arXiv:1408.5882)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Activation, Count, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.registry import MODELS


@MODELS.register("cnn1d")
class CNN1d(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to their largest features over time (B, dim), or to a sequence (B, T, dim).

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        embedding: width of the embedding
        dim: width of the features, shared evenly by the kernels
        kernels: widths of the convolutions in steps; null for the paper's [3, 4, 5]
        activation: after the convolutions
        dropout: share dropped of the embedding and of the features
        out: the largest of each feature over time, as in the paper, or the features of every step
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        embedding: Count = 128,
        dim: Count = 300,
        kernels: list[Count] | None = None,
        activation: Activation = "relu",
        dropout: Share = 0.0,
        out: Literal["vector", "sequence"] = "vector",
    ):
        super().__init__()
        kernels = kernels or [3, 4, 5]
        if dim % len(kernels):
            raise ConfigError([f"model.dim: {len(kernels)} kernels do not share {dim} features evenly"])
        self.kernels = kernels
        self.embed = embed(embedding, vocab_size, in_features, std=0.1)
        self.convs = nn.ModuleList(nn.Conv1d(embedding, dim // len(kernels), k) for k in kernels)
        self.activation = activate(activation)
        self.dropout = Dropout(dropout)
        self.out = out
        self.features = Features(out, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.dropout(self.embed(x))
        if mask is not None:
            x = x * mask[..., None]  # a window across the end sees zeros, as it does at the end of the batch
        x = x.transpose(1, 2)
        x = torch.cat([conv(_pad(x, k)) for conv, k in zip(self.convs, self.kernels, strict=True)], 1)
        x = self.activation(x)
        if self.out == "sequence":
            return self.dropout(x.transpose(1, 2))
        if mask is not None:
            mask = mask | ~mask.any(1, keepdim=True)
            x = x.masked_fill(~mask[:, None], -torch.inf)
        return self.dropout(x.amax(2))


def _pad(x: Tensor, kernel: int) -> Tensor:
    """(B, D, T) with zeros around it, so that a convolution leaves T steps: padding="same" warns for even kernels."""
    return F.pad(x, ((kernel - 1) // 2, kernel // 2))
