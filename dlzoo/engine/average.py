"""An exponential moving average of the weights (Polyak and Juditsky, 1992): what is then evaluated and kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """average ← average + (1 - d) (weights - average) after each update; d = min(decay, (1 + step) / (10 + step)).

    The second term forgets the initial weights sooner in a short run. Running statistics (batch norm's) are averaged
    like weights: those of the last update do not belong to the averaged weights.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.values = {name: tensor.clone() for name, tensor in _averaged(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after update number `step` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(_averaged(model).values()), 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside the block the model has the averaged weights."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for tensor, value in zip(_averaged(model).values(), self.values.values(), strict=True):
            kept = tensor.clone()
            tensor.copy_(value)
            value.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by the names of the model's own."""
        return self.values

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in self.values.items():
            value.copy_(state[name])


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and the running statistics of a model, each once, by name."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach() for name, tensor in tensors if tensor.is_floating_point()}
