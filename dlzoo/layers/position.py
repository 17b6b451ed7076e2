"""Where in a sequence: learned tables, sinusoids, rotations."""

import torch
from torch import Tensor, nn

from dlzoo.choices import Position
from dlzoo.errors import ConfigError, DataError


class LearnedPosition(nn.Module):
    """A trained vector for each of `context` places, added to x (B, T, D)."""

    def __init__(self, context: int, dim: int):
        super().__init__()
        self.table = nn.Embedding(context, dim)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """`start` is the place of x[:, 0]. Raises DataError for a sequence that is longer than the table."""
        end = start + x.shape[1]
        if end > self.table.num_embeddings:
            raise DataError(
                f"a sequence of {end} places is longer than the context of this model, "
                f"{self.table.num_embeddings}; cut it, or train with a larger context or with rotary positions"
            )
        return x + self.table.weight[start:end]


class SinusoidalPosition(nn.Module):
    """Sines and cosines of geometric wavelengths, added to x (B, T, D) (Vaswani et al., 2017, section 3.5)."""

    def __init__(self, dim: int):
        super().__init__()
        if dim % 2:
            raise ConfigError([f"model.dim: {dim} is odd; sinusoidal positions need an even dim"])

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        angles = _angles(x, x.shape[1], start, x.shape[2])
        return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(1).to(x.dtype)


class NoPosition(nn.Module):
    """x as it is: rotary positions act inside attention."""

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x


def position(kind: Position, context: int, dim: int) -> nn.Module:
    """The module that adds positions of that kind at the foot of a Transformer."""
    if kind == "learned":
        return LearnedPosition(context, dim)
    return SinusoidalPosition(dim) if kind == "sinusoidal" else NoPosition()


def rotate(q: Tensor, k: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
    """Queries and keys (B, heads, T, d) turned by angles that grow with the place: their product knows the distance.

    RoPE (Su et al., 2021, arXiv:2104.09864), pairing feature i with i + d/2 as GPT-NeoX and LLaMA do.
    """
    angles = _angles(q, q.shape[2], start, q.shape[3])
    cos, sin = angles.cos().repeat(1, 2).to(q.dtype), angles.sin().repeat(1, 2).to(q.dtype)
    return q * cos + _half_turn(q) * sin, k * cos + _half_turn(k) * sin


def _half_turn(x: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([-b, a], -1)


def _angles(x: Tensor, length: int, start: int, dim: int) -> Tensor:
    """Angles (length, dim / 2): place times 10000^(-2i / dim), in float32 even under autocast."""
    places = torch.arange(start, start + length, device=x.device, dtype=torch.float32)
    rates = 10000.0 ** (-torch.arange(0, dim, 2, device=x.device, dtype=torch.float32) / dim)
    return places[:, None] * rates
