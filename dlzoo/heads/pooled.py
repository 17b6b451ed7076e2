"""One output for a whole sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlzoo.choices import Pool
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.dropout import Dropout


class Pooled(nn.Module):
    """Vector (B, D), sequence (B, T, D) with its mask (B, T), or map (B, D, H, W) to (B, out).

    `pool` auto is the last real place of a causal sequence, which alone has seen everything, else the mean over real
    places. Attention is a learned weighted mean (Ilse et al., 2018, without the gate). `dropout` is of the vector.
    Raises ConfigError for the first or last place of a map, and for a way to pool what is one vector already.
    """

    def __init__(self, features: Features, out: int, pool: Pool = "auto", dropout: float = 0.0):
        super().__init__()
        assert isinstance(features.dim, int)
        if features.kind == "vector" and pool != "auto":
            raise ConfigError([f"task.pool: '{pool}' pools places, and the model gives one vector; leave it out"])
        if pool == "auto":
            pool = "last" if features.kind == "sequence" and features.causal else "mean"
        if features.kind == "map" and pool in ("first", "last"):
            allowed = "Choose from: auto, mean, max, attention."
            raise ConfigError([f"task.pool: '{pool}' needs a sequence, and the model gives a map. {allowed}"])
        self.pool = pool
        if pool == "attention":
            self.attention = nn.Linear(features.dim, 1)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.linear = nn.Linear(features.dim, out)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        if features.ndim == 4:
            if self.pool == "mean":
                return self.linear(self.dropout(features.mean((2, 3))))
            features, mask = features.flatten(2).mT, None
        return self.linear(self.dropout(self._one(features, mask) if features.ndim == 3 else features))

    def _one(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Places (B, T, D) to (B, D)."""
        if self.pool == "first":
            return x[:, 0]
        if self.pool == "last":
            if mask is None:
                return x[:, -1]
            places = torch.arange(x.shape[1], device=x.device)
            last = torch.where(mask, places, 0).amax(1)
            return x[torch.arange(len(x), device=x.device), last]
        if self.pool == "max":
            return x.amax(1) if mask is None else x.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1)
        if self.pool == "attention":
            weight = self.attention(x).squeeze(-1)
            weight = (weight if mask is None else weight.masked_fill(~mask, -torch.inf)).softmax(1)
            return torch.einsum("bt,btd->bd", weight, x)
        if mask is None:
            return x.mean(1)
        return x.masked_fill(~mask.unsqueeze(-1), 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
