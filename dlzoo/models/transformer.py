"""Transformer: the encoder of attention is all you need (Vaswani et al., 2017, arXiv:1706.03762)."""

from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Position, Share
from dlzoo.features import Features
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.layers.position import position as positions
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS


@MODELS.register("transformer")
class Transformer(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim); every place sees all others.

    The paper's base: dim 512, depth 6, heads 8, norm_first false, activation relu, dropout .1.

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        context: longest sequence, in tokens or steps, where positions are learned
        dim: width of the features
        depth: number of blocks
        heads: of attention, each of width dim / heads
        hidden: width of the feed-forward networks; null for 4 dim
        position: learned and sinusoidal are added to the embedding, rotary turns queries and keys
        norm: of the features
        norm_first: normalise before each branch and at the end; false does it after each sum, as in the paper
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        context: int = 256,
        dim: Count = 128,
        depth: Count = 2,
        heads: Count = 4,
        hidden: Count | None = None,
        position: Position = "sinusoidal",
        norm: Literal["layer", "rms"] = "layer",
        norm_first: bool = True,
        activation: Gate = "gelu",
        dropout: Share = 0.0,
    ):
        super().__init__()
        self.embed = embed(dim, vocab_size, in_features, std=dim**-0.5)
        self.scale = dim**0.5 if vocab_size else 1.0  # section 3.4: tokens come in as large as the sinusoids
        self.position = positions(position, context, dim)
        self.dropout = Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            hidden=hidden,
            norm=norm,
            norm_first=norm_first,
            activation=activation,
            dropout=dropout,
            rotary=position == "rotary",
        )
        self.features = Features("sequence", dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.blocks(self.dropout(self.position(self.scale * self.embed(x))), mask)
