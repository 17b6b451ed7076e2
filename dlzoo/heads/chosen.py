"""An output at each of the places that are chosen."""

from __future__ import annotations

from torch import Tensor, nn

from dlzoo.features import Features


class Chosen(nn.Module):
    """Sequence (B, T, D) to (N, out): at the N places where `chosen` (B, T) is true, row by row.

    With `transform` there is a layer before the last: linear, GELU, layer norm, as BERT has it over its masked tokens
    (Devlin et al., 2018, arXiv:1810.04805). With `tie`, the last weight is that of an embedding (Press and Wolf, 2016).
    """

    def __init__(self, features: Features, out: int, tie: nn.Embedding | None = None, transform: bool = False):
        super().__init__()
        assert isinstance(features.dim, int)
        dim = features.dim if tie is None else tie.embedding_dim
        layers = [nn.Linear(features.dim, dim), nn.GELU(), nn.LayerNorm(dim)] if transform else []
        self.transform = nn.Sequential(*layers)
        self.linear = nn.Linear(dim, out)
        if tie is not None:
            assert tie.num_embeddings == out
            self.linear.weight = tie.weight
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, chosen: Tensor) -> Tensor:
        return self.linear(self.transform(features[chosen]))
