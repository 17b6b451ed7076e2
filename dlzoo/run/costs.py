"""What the models for pictures cost: weights, and multiply-adds for one picture; nothing is computed for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from dlzoo.errors import ConfigError
from dlzoo.registry import MODELS
from dlzoo.registry.entry import Entry

CHANNELS, SIZE = 3, 224
"""Of the picture that is counted with: that of ImageNet's tables."""
FACTS: dict[str, Any] = {"in_channels": CHANNELS, "image_size": SIZE, "in_features": CHANNELS * SIZE * SIZE}


def costs(models: Iterable[Entry]) -> dict[str, dict[str, int | None]]:
    """By name of a model as it is by default, without a head: `parameters`, and `multiply_adds` for a colour picture of
    224 x 224, which papers call FLOPs; None of a model whose package is missing.
    """
    found: dict[str, dict[str, int | None]] = {}
    for entry in models:
        given = {parameter.name: FACTS[parameter.name] for parameter in entry.parameters if parameter.name in FACTS}
        try:
            found[entry.name] = dict(zip(("parameters", "multiply_adds"), _cost(entry.name, given), strict=True))
        except ConfigError:
            found[entry.name] = {"parameters": None, "multiply_adds": None}
    return found


def _cost(name: str, given: dict[str, Any]) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad():
        model = cast(torch.nn.Module, MODELS[name](**given)).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, CHANNELS, SIZE, SIZE))
    return sum(weight.numel() for weight in model.parameters()), counter.get_total_flops() // 2
