"""What a backbone promises about its output."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["vector", "sequence", "map", "pyramid", "complete"]


@dataclass(frozen=True)
class Features:
    """What a backbone puts out; every backbone has one as `self.features`."""

    kind: Kind
    """vector (B, D), sequence (B, T, D), map (B, D, H, W), pyramid (a list of maps), complete (has its own head)."""
    dim: int | tuple[int, ...]
    """Width D of the features; a tuple, one for each map, for a pyramid."""
    stride: int | tuple[int, ...] = 1
    """Steps or pixels of the input for one step of the output: a sequence of T gives ceil(T / stride) places."""
    causal: bool = False
    """No place sees a later one, so the last place is the one that saw everything."""
