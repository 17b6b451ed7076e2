"""Multi-head attention, to oneself and to a memory (Vaswani et al., 2017, arXiv:1706.03762)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.errors import ConfigError
from dlzoo.layers.position import rotate

Cache = tuple[Tensor, Tensor]
"""Keys and values (B, kv_heads, S, d) of the S places that a causal layer has seen, or of a memory."""
PLAIN = 512
"""Places up to which attention in bfloat16 on a CPU is two products: torch's fused kernel takes 1.2 to 8 times as long
there, forward and backward, the longer the fewer places there are; forward alone they are about equal."""


class SelfAttention(nn.Module):
    """Every place of x (B, T, D) looks at the others (at itself and the earlier ones if `causal`).

    Fewer `kv_heads` than `heads`: grouped-query attention (Ainslie et al., 2023, arXiv:2305.13245).
    There is no dropout of attention weights: the fused kernels have none.
    Raises ConfigError where the heads do not divide.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        kv_heads: int | None = None,
        *,
        causal: bool = False,
        rotary: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        kv_heads = kv_heads or heads
        if dim % heads:
            raise ConfigError([f"model.heads: {heads} heads do not divide a dim of {dim}"])
        if heads % kv_heads:
            raise ConfigError([f"model.kv_heads: {kv_heads} do not divide {heads} heads"])
        if rotary and (dim // heads) % 2:
            raise ConfigError([f"model.heads: rotary positions need an even dim / heads, not {dim} / {heads}"])
        self.heads, self.kv_heads = heads, kv_heads
        self.causal, self.rotary = causal, rotary
        self.qkv = nn.Linear(dim, (heads + 2 * kv_heads) * (dim // heads), bias)
        self.out = nn.Linear(dim, dim, bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) to (B, T, D). Only places where `mask` (B, T) is true are looked at.

        A causal layer needs no mask: padding comes last, and no place sees what comes after it.
        """
        q, k, v = self._split(x)
        if self.causal or mask is None:
            return self._join(attend(q, k, v, causal=self.causal))
        return self._join(attend(q, k, v, _seen(mask)))

    def step(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """`forward` for t new places x (B, t, D) after those in `cache`; also gives the longer cache."""
        start = 0 if cache is None else cache[0].shape[2]
        q, k, v = self._split(x, start)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        t = x.shape[1]
        if start == 0 or t == 1:
            return self._join(attend(q, k, v, causal=t > 1)), (k, v)
        mask = torch.ones(t, start + t, dtype=torch.bool, device=x.device).tril(start)
        return self._join(attend(q, k, v, mask)), (k, v)

    def _split(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, heads, T, d), keys and values (B, kv_heads, T, d)."""
        B, T, _ = x.shape
        joined = self.qkv(x).view(B, T, self.heads + 2 * self.kv_heads, -1).transpose(1, 2)
        q, k, v = joined.split([self.heads, self.kv_heads, self.kv_heads], 1)
        return (*rotate(q, k, start), v) if self.rotary else (q, k, v)

    def _join(self, y: Tensor) -> Tensor:
        return self.out(y.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Every place of x (B, T, D) looks at those of a memory (B, S, D), whose keys and values are computed once.

    Raises ConfigError where the heads do not divide.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        if dim % heads:
            raise ConfigError([f"model.heads: {heads} heads do not divide a dim of {dim}"])
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def remember(self, memory: Tensor) -> Cache:
        """Keys and values (B, heads, S, d) of a memory (B, S, D)."""
        k, v = self.kv(memory).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        return k, v

    def forward(self, x: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D). Only places where `mask` (B, S) is true are looked at."""
        y = attend(self._query(x), *cache, _seen(mask))
        return self.out(y.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """How much each place of x (B, T, D) looks at each of the memory: (B, T, S), the mean of all heads."""
        q = self._query(x)
        scores = (q @ cache[0].mT / q.shape[-1] ** 0.5).masked_fill(~_seen(mask), -torch.inf)
        return scores.softmax(-1).mean(1)

    def _query(self, x: Tensor) -> Tensor:
        return self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """softmax(q k' / sqrt(d)) v of queries (B, heads, T, d), keys and values (B, kv_heads, S, d): (B, heads, T, d).

    Only where `mask`, which goes with (B, heads, T, S), is true; if `causal`, at no later place.
    """
    group = q.shape[1] // k.shape[1]
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or k.shape[2] > PLAIN:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=group > 1)
    if causal:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    k, v = (part.repeat_interleave(group, 1) if group > 1 else part for part in (k, v))
    scores = q * q.shape[3] ** -0.5 @ k.mT
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1) @ v


def _seen(mask: Tensor) -> Tensor:
    """Which places are looked at, (B, 1, 1, S); of a row of nothing but padding all, or its softmax is NaN."""
    return (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
