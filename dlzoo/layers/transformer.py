"""The Transformer's block, shared by gpt, bert, vit and transformer (Vaswani et al., 2017, arXiv:1706.03762)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dlzoo.choices import Gate
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.attention import Cache, SelfAttention
from dlzoo.layers.drop_path import DropPath, rising
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.norm import norm as normalize


class Feedforward(nn.Module):
    """Linear, activation, linear, at each place of (B, T, D).

    swiglu: (silu(W1 x) * W2 x) W3 (Shazeer, 2020, arXiv:2002.05202), 2/3 of `hidden` wide and so of as many weights.
    """

    def __init__(self, dim: int, hidden: int, activation: Gate, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        self.gated = activation == "swiglu"
        hidden = 2 * hidden // 3 if self.gated else hidden
        self.up = nn.Linear(dim, 2 * hidden if self.gated else hidden, bias)
        self.activation = activate("silu" if activation == "swiglu" else activation)
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(hidden, dim, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.gated:
            gate, x = x.chunk(2, -1)
            x = F.silu(gate) * x
        else:
            x = self.activation(x)
        return self.down(self.dropout(x))


class Block(nn.Module):
    """Attention and a feed-forward network, each a residual branch: (B, T, D) to (B, T, D).

    norm_first: x + f(norm(x)), as in GPT-2; else norm(x + f(x)), as in the paper and in BERT.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        hidden: int,
        kv_heads: int | None = None,
        norm: Literal["layer", "rms"] = "layer",
        norm_first: bool = True,
        activation: Gate = "gelu",
        dropout: float = 0.0,
        drop_path: float = 0.0,
        causal: bool = False,
        rotary: bool = False,
        bias: bool = True,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.norm1 = normalize(norm, dim, eps)
        self.attention = SelfAttention(dim, heads, kv_heads, causal=causal, rotary=rotary, bias=bias)
        self.norm2 = normalize(norm, dim, eps)
        self.mlp = Feedforward(dim, hidden, activation, dropout, bias)
        self.drop = nn.Sequential(Dropout(dropout), DropPath(drop_path))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.attention(self.norm1(x) if self.norm_first else x, mask)
        return self._rest(x, y)

    def step(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """`forward` for new places only, after those in `cache`."""
        y, cache = self.attention.step(self.norm1(x) if self.norm_first else x, cache)
        return self._rest(x, y), cache

    def _rest(self, x: Tensor, y: Tensor) -> Tensor:
        """Everything after attention, which has turned x into y."""
        if self.norm_first:
            x = x + self.drop(y)
            return x + self.drop(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.drop(y))
        return self.norm2(x + self.drop(self.mlp(x)))


class Blocks(nn.Module):
    """`depth` blocks, one after the other, and a last norm where theirs come first. Arguments are Block's."""

    def __init__(
        self,
        depth: int,
        dim: int,
        heads: int,
        *,
        norm: Literal["layer", "rms"] = "layer",
        norm_first: bool = True,
        drop_path: float = 0.0,
        eps: float = 1e-5,
        hidden: int | None = None,
        kv_heads: int | None = None,
        activation: Gate = "gelu",
        dropout: float = 0.0,
        causal: bool = False,
        rotary: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                hidden=hidden or 4 * dim,
                kv_heads=kv_heads,
                norm=norm,
                norm_first=norm_first,
                activation=activation,
                dropout=dropout,
                drop_path=rate,
                causal=causal,
                rotary=rotary,
                bias=bias,
                eps=eps,
            )
            for rate in rising(drop_path, depth)
        )
        self.norm = normalize(norm, dim, eps) if norm_first else nn.Identity()
        self.checkpointing = False
        """In training each block keeps its input alone, and is computed again in the backward pass."""
        initialise(self.blocks, 2 * depth)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = (
                checkpoint(block, x, mask, use_reentrant=False)
                if self.checkpointing and self.training
                else block(x, mask)
            )
        return self.norm(x)

    def step(self, x: Tensor, state: tuple[Cache, ...] | None = None) -> tuple[Tensor, tuple[Cache, ...]]:
        """`forward` for new places (B, t, D) after those in `state`, a cache for each block."""
        caches = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, cache = block.step(x, state[i] if state else None)
            caches.append(cache)
        return self.norm(x), tuple(caches)


def initialise(blocks: nn.ModuleList, branches: int) -> None:
    """GPT-2's (Radford et al., 2019): N(0, .02), less by sqrt(branches) where one joins the residual stream."""
    for name, module in blocks.named_modules():
        if isinstance(module, nn.Linear):
            joins = name.endswith(("attention.out", "mlp.down"))
            nn.init.normal_(module.weight, std=0.02 / branches**0.5 if joins else 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
