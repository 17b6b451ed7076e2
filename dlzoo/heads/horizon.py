"""The next values of a series."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.features import Features


class Horizon(nn.Module):
    """Sequence (B, T, D) or vector (B, D) to the next H values: (B, H), or (B, H, Q) for Q `quantiles`.

    The last place of a sequence counts. `future` is the width of known-future covariates (B, H, future): each step
    ahead then gets its own part of the features and its own covariates, joined by one hidden layer. With `context`, a
    linear map of that many past values, x[..., 0] (B, context), is added, as in DLinear (Zeng et al., 2022,
    arXiv:2205.13504): it starts at zero.
    """

    def __init__(
        self,
        features: Features,
        horizon: int,
        *,
        quantiles: int | None = None,
        future: int = 0,
        context: int | None = None,
        hidden: int = 16,
    ):
        super().__init__()
        assert isinstance(features.dim, int)
        self.horizon, self.quantiles = horizon, quantiles
        out = quantiles or 1
        self.ahead = nn.Linear(features.dim, horizon * (hidden if future else out))
        if future:
            self.covariates = nn.Linear(future, hidden)
            self.out = nn.Linear(hidden, out)
        self.linear = None if context is None else nn.Linear(context, horizon)
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, x: Tensor | None = None, future: Tensor | None = None) -> Tensor:
        vector = features[:, -1] if features.ndim == 3 else features
        values = self.ahead(vector).unflatten(1, (self.horizon, -1))
        if future is not None:
            values = self.out(F.gelu(values + self.covariates(future)))
        if self.linear is not None:
            assert x is not None
            values = values + self.linear(x[..., 0])[..., None]
        return values if self.quantiles else values.squeeze(-1)
