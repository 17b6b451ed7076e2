"""GPT: a causal Transformer (Radford et al., 2018 and 2019), with LLaMA's parts as arguments (arXiv:2302.13971)."""

from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Position, Share
from dlzoo.features import Features
from dlzoo.layers.attention import Cache
from dlzoo.layers.embedding import embed
from dlzoo.layers.position import position as positions
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS


@MODELS.register("gpt")
class GPT(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim); no place sees a later one.

    GPT-2's smallest: dim 768, depth 12, heads 12. LLaMA's: position rotary, norm rms, activation swiglu, bias false.

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        context: longest sequence, in tokens or steps
        dim: width of the features
        depth: number of blocks
        heads: of attention, each of width dim / heads
        kv_heads: heads of keys and values, shared by groups of heads; null for as many as heads
        hidden: width of the feed-forward networks; null for 4 dim
        position: learned and sinusoidal are added to the embedding, rotary turns queries and keys
        norm: before attention, before the feed-forward network and at the end
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
        bias: linear layers of the blocks have one
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        context: int = 256,
        dim: Count = 128,
        depth: Count = 4,
        heads: Count = 4,
        kv_heads: Count | None = None,
        hidden: Count | None = None,
        position: Position = "learned",
        norm: Literal["layer", "rms"] = "layer",
        activation: Gate = "gelu",
        dropout: Share = 0.0,
        bias: bool = True,
    ):
        super().__init__()
        self.embed = embed(dim, vocab_size, in_features, std=0.02)
        self.position = positions(position, context, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            kv_heads=kv_heads,
            hidden=hidden,
            norm=norm,
            activation=activation,
            dropout=dropout,
            causal=True,
            rotary=position == "rotary",
            bias=bias,
        )
        self.features = Features("sequence", dim, causal=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Padding comes last, and no place sees what comes after it: the mask is not needed."""
        return self.blocks(self.dropout(self.position(self.embed(x))))

    def step(self, x: Tensor, state: tuple[Cache, ...] | None = None) -> tuple[Tensor, tuple[Cache, ...]]:
        """Features (B, t, dim) of new tokens (B, t) or vectors after `state`, the keys and values of each block."""
        start = state[0][0].shape[2] if state else 0
        return self.blocks.step(self.dropout(self.position(self.embed(x), start)), state)
