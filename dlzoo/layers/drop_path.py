"""Stochastic depth: whole residual branches dropped, sample by sample (Huang et al., 2016, arXiv:1603.09382)."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """A branch (B, ...) is zero for a sample with probability `p` in training, and scaled by 1 / (1 - p) otherwise."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)


def rising(p: float, depth: int) -> list[float]:
    """Rates of `depth` blocks that rise linearly from 0 to `p`, as the paper has them."""
    return [p * i / max(1, depth - 1) for i in range(depth)]
