"""An output at each of the places that are chosen."""

from __future__ import annotations

from torch import Tensor, nn

from dlzoo.features import Features


class Chosen(nn.Module):
    """Sequence (B, T, D) to (N, out): what `layers` make of the N places where `chosen` (B, T) is true, row by row."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor, chosen: Tensor) -> Tensor:
        return self.layers(features[chosen][None])[0]  # a published head takes a sequence, not places alone


def transformed(features: Features, out: int, tie: nn.Embedding | None) -> nn.Module:
    """Linear, GELU, layer norm and scores of tokens, as BERT has them over its masked tokens (Devlin et al., 2018,
    arXiv:1810.04805). With `tie`, the last weight is that of an embedding (Press and Wolf, 2016).
    """
    assert isinstance(features.dim, int)
    dim = features.dim if tie is None else tie.embedding_dim
    scores = nn.Linear(dim, out)
    if tie is not None:
        assert tie.num_embeddings == out
        scores.weight = tie.weight
        nn.init.zeros_(scores.bias)
    return nn.Sequential(nn.Linear(features.dim, dim), nn.GELU(), nn.LayerNorm(dim), scores)
