"""An output at every place."""

from __future__ import annotations

from torch import Tensor, nn

from dlzoo.features import Features


class Dense(nn.Module):
    """Vector (B, D), sequence (B, T, D) or map (B, D, H, W) to (B, out), (B, T, out) or (B, H, W, out).

    With `tie`, the weight is that of an embedding (Press and Wolf, 2016), behind a projection where the widths differ.
    """

    def __init__(self, features: Features, out: int, tie: nn.Embedding | None = None):
        super().__init__()
        assert isinstance(features.dim, int)
        dim = features.dim if tie is None else tie.embedding_dim
        self.project = nn.Identity() if dim == features.dim else nn.Linear(features.dim, dim, bias=False)
        self.linear = nn.Linear(dim, out, bias=tie is None)
        if tie is not None:
            assert tie.num_embeddings == out
            self.linear.weight = tie.weight

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.project(features.movedim(1, -1) if features.ndim == 4 else features))
