"""torch's optimizers from the sections of a config, their groups, and their state by the names of the weights."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from dlzoo.engine.weights import named
from dlzoo.errors import RunError
from dlzoo.optim import Optimizer

CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
FUSED = {"sgd", "adam", "adamw", "adagrad"}
"""Those with one kernel for all weights (torch.optim, on CPU and CUDA; adagrad on CPU alone)."""


def fused(config: Optimizer, device: torch.device) -> bool:
    """What `fused: null` means on this device: yes wherever torch has it. It changes the last bits."""
    chosen = getattr(config, "fused", None)
    if chosen is not None:
        return bool(chosen)
    return config.name in FUSED and (device.type == "cpu" or config.name != "adagrad")


def build(
    config: Optimizer, model: nn.Module, device: torch.device, factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over the weights of `model` that are trained.

    Biases and the weights of norms (all that have fewer than two dimensions) do not decay. `factors` on the learning
    rate are by patterns of names, the last that matches counts; raises ConfigError for one that matches no weight.
    """
    arguments = {key: value for key, value in asdict(config).items() if key not in ("name", "weight_decay", "fused")}
    if config.name in FUSED and fused(config, device):
        arguments["fused"] = True
    weights = dict(_trained(model))
    factor = dict.fromkeys(weights, 1.0)
    for pattern, value in (factors or {}).items():
        factor |= dict.fromkeys(named(weights, pattern, "train.lr_factors"), value)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for decays in (True, False):
        for name, weight in weights.items():
            if (weight.ndim >= 2) == decays:
                groups.setdefault((config.weight_decay * decays, factor[name]), []).append(weight)
    return CLASSES[config.name](
        [{"params": of, "weight_decay": decay, "factor": by} for (decay, by), of in groups.items()], **arguments
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group of weights the learning rate, times its own factor where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)


def state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Every tensor that the optimizer remembers, as `NAME OF THE WEIGHT/NAME OF THE TENSOR`."""
    return {
        f"{name}/{key}": value
        for name, parameter in _trained(model)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """The inverse of `state`. Raises RunError where a tensor belongs to no weight or does not fit it."""
    remaining = dict(tensors)
    for name, parameter in _trained(model):
        own = {key.rpartition("/")[2]: key for key in remaining if key.rpartition("/")[0] == name}
        for short, long in own.items():
            optimizer.state[parameter][short] = _placed(short, remaining.pop(long), parameter, optimizer)
    if remaining:
        raise RunError(f"the checkpoint's optimizer state is for other weights: {', '.join(sorted(remaining)[:3])}")


def _placed(key: str, tensor: Tensor, parameter: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """`tensor` where the optimizer had it: the weight's own device and memory layout, or the host for a counter."""
    counter = key in ("step", "mu_product")
    if tensor.shape == parameter.shape and not counter:
        return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    on_host = counter and not optimizer.defaults.get("fused") and not optimizer.defaults.get("capturable")
    return tensor.clone() if on_host else tensor.to(parameter.device, copy=True)


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
