"""MLP: layers of neurons, each fully connected to the last (Rumelhart et al., 1986)."""

from typing import Literal

import torch
from torch import Tensor, nn

from dlzoo.choices import Activation, Count, Share, Whole
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import CategoryEmbedding
from dlzoo.registry import MODELS


@MODELS.register("mlp")
class MLP(nn.Module):
    """Anything of fixed size (B, ...), flattened, and codes (B, N) of categories, to a vector of features (B, dim).

    Args:
        in_features: numbers in one sample, or in one of its steps
        context: steps that are flattened into one vector
        categories: how many codes each category column has; each column is embedded
        category_dim: width of the embedding of one category column
        dim: width of every layer
        depth: number of layers; 0 gives the input itself, so that a linear head makes a linear model
        activation: after every layer
        norm: before every activation
        dropout: share of the features dropped after every activation
        residual: add the input of every layer but the first to its output
    """

    def __init__(
        self,
        in_features: int,
        context: int = 1,
        categories: list[int] | None = None,
        category_dim: Count = 8,
        dim: Count = 128,
        depth: Whole = 2,
        activation: Activation = "relu",
        norm: Literal["none", "batch", "layer"] = "none",
        dropout: Share = 0.0,
        residual: bool = False,
    ):
        super().__init__()
        self.embed = CategoryEmbedding(categories, category_dim) if categories else None
        width = in_features * context + (self.embed.dim if self.embed else 0)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            layer: list[nn.Module] = [nn.Linear(width, dim)]
            layer += [{"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](dim)] if norm != "none" else []
            layer += [activate(activation), *([Dropout(dropout)] if dropout else [])]
            self.layers.append(nn.Sequential(*layer))
            width = dim
        self.residual = residual
        self.features = Features("vector", width)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        if self.embed is not None:
            x = torch.cat([x, self.embed(codes)], 1)
        for i, layer in enumerate(self.layers):
            x = x + layer(x) if self.residual and i else layer(x)
        return x
