"""LoRA: low-rank adaptation (Hu et al., 2021, arXiv:2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dlzoo.errors import ConfigError


class LowRank(nn.Module):
    """A weight W (out, in) as W + up down, with down (rank, in) random and up (out, rank) 0: at first it is W.

    So it is where W stands the other way round, too.
    The paper's eq. 3. Its scale alpha / rank is 1: to tune alpha is to tune the learning rate (section 4.1).
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        out, into = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, into))
        self.up = nn.Parameter(weight.new_zeros(out, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as in the authors' code

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def adapt(backbone: nn.Module, rank: int) -> None:
    """Give the weights of every attention an addition of low rank, and leave all that was there untrained.

    Raises ConfigError for a model without attention, and for a rank that is not below a weight's own.
    """
    found = list(_attended(backbone))
    if not found:
        raise ConfigError(["train.lora: this model has no attention, whose weights it would adapt"])
    backbone.requires_grad_(False)
    for module, name in found:
        weight = getattr(module, name)
        if rank >= min(weight.shape):
            raise ConfigError([f"train.lora: {rank} is no low rank for a weight of {tuple(weight.shape)}"])
        parametrize.register_parametrization(module, name, LowRank(weight.detach(), rank))


def _attended(backbone: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The matrices in modules that are called some kind of attention: ours, torch's, torchvision's, timm's and
    transformers', whose GPT-2 has layers of its own, Conv1D, for linear ones.
    """
    seen: set[nn.Module] = set()
    for attention in backbone.modules():
        if "attention" not in type(attention).__name__.lower():
            continue
        for part in attention.modules():
            if part not in seen and (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"):
                yield part, "weight"
            elif part not in seen and isinstance(getattr(part, "in_proj_weight", None), torch.Tensor):
                yield part, "in_proj_weight"
            seen.add(part)
