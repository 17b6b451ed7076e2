"""An output at each of the places that are chosen."""

from __future__ import annotations

from torch import Tensor, nn


class Chosen(nn.Module):
    """Sequence (B, T, D) to (N, out): what `layers` make of the N places where `chosen` (B, T) is true, row by row."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor, chosen: Tensor) -> Tensor:
        return self.layers(features[chosen][None])[0]  # a published head takes a sequence, not places alone
