"""The Transformer's decoder: it looks back at itself and over to a memory (Vaswani et al., 2017, arXiv:1706.03762)."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Gate
from dlzoo.layers.attention import Cache, CrossAttention, SelfAttention
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.norm import norm as normalize
from dlzoo.layers.transformer import Feedforward, initialise

Memory = tuple[tuple[Cache, ...], Tensor]
"""Keys and values of what was encoded, for each block, and the mask (B, S) of its real places."""


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to a memory and a feed-forward network, each a residual branch.

    norm_first: x + f(norm(x)); else norm(x + f(x)), as in the paper.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        hidden: int,
        norm: Literal["layer", "rms"],
        norm_first: bool,
        activation: Gate,
        dropout: float,
        rotary: bool,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.norm1 = normalize(norm, dim)
        self.attention = SelfAttention(dim, heads, causal=True, rotary=rotary)
        self.norm2 = normalize(norm, dim)
        self.cross_attention = CrossAttention(dim, heads)
        self.norm3 = normalize(norm, dim)
        self.mlp = Feedforward(dim, hidden, activation, dropout)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D); `cache` and `mask` (B, S) are those of the memory."""
        return self._rest(self._add(x, self.norm1, self.attention), cache, mask)

    def step(self, x: Tensor, state: Cache | None, cache: Cache, mask: Tensor) -> tuple[Tensor, Cache]:
        """`forward` for new places only, after those in `state`."""
        y, state = self.attention.step(self.norm1(x) if self.norm_first else x, state)
        x = x + self.drop(y)
        return self._rest(x if self.norm_first else self.norm1(x), cache, mask), state

    def weights(self, x: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """How much each place of x (B, T, D) looks at each of the memory: (B, T, S)."""
        x = self._add(x, self.norm1, self.attention)
        return self.cross_attention.weights(self.norm2(x) if self.norm_first else x, cache, mask)

    def _rest(self, x: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        x = self._add(x, self.norm2, lambda y: self.cross_attention(y, cache, mask))
        return self._add(x, self.norm3, self.mlp)

    def _add(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.drop(branch(norm(x))) if self.norm_first else norm(x + self.drop(branch(x)))


class Decoder(nn.Module):
    """`depth` blocks, one after the other, and a last norm where theirs come first. Arguments are DecoderBlock's."""

    def __init__(
        self,
        depth: int,
        dim: int,
        heads: int,
        *,
        hidden: int | None,
        norm: Literal["layer", "rms"],
        norm_first: bool,
        activation: Gate,
        dropout: float,
        rotary: bool,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            DecoderBlock(
                dim,
                heads,
                hidden=hidden or 4 * dim,
                norm=norm,
                norm_first=norm_first,
                activation=activation,
                dropout=dropout,
                rotary=rotary,
            )
            for _ in range(depth)
        )
        self.norm = normalize(norm, dim) if norm_first else nn.Identity()
        initialise(self.blocks, 3 * depth)

    def remember(self, memory: Tensor, mask: Tensor) -> Memory:
        """What the blocks look at of a memory (B, S, D) with its mask (B, S), computed once for all steps."""
        return tuple(block.cross_attention.remember(memory) for block in self.blocks), mask  # type: ignore[operator, union-attr]

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        caches, mask = memory
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache, mask)
        return self.norm(x)

    def step(self, x: Tensor, state: tuple[Cache, ...] | None, memory: Memory) -> tuple[Tensor, tuple[Cache, ...]]:
        """`forward` for new places (B, t, D) after those in `state`, a cache for each block."""
        caches, mask = memory
        states = []
        for i, (block, cache) in enumerate(zip(self.blocks, caches, strict=True)):
            assert isinstance(block, DecoderBlock)
            x, after = block.step(x, state[i] if state else None, cache, mask)
            states.append(after)
        return self.norm(x), tuple(states)

    def attention(self, x: Tensor, memory: Memory) -> Tensor:
        """How much each place of x (B, T, D) looks at each of the memory, in the last block: (B, T, S)."""
        caches, mask = memory
        *before, last = self.blocks
        for block, cache in zip(before, caches, strict=False):
            x = block(x, cache, mask)
        assert isinstance(last, DecoderBlock)
        return last.weights(x, caches[-1], mask)
