"""What was not finite: when, which samples, which layer. Looked for after the fault: the good path pays nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dlzoo.engine.loader import Loader
from dlzoo.engine.runtime import NotFinite, Runtime
from dlzoo.errors import Diverged, printable
from dlzoo.task import Batch, Task


def diverged(
    error: NotFinite,
    step: int,
    lr: float,
    loader: Loader,
    batches: list[Batch],
    model: nn.Module,
    task: Task,
    runtime: Runtime,
) -> Diverged:
    """`error` of update number `step` (from 0) in words: what, when, which samples and layer, and what to do."""
    what = f"loss is {error.loss:.4g}"
    if math.isfinite(error.loss):
        what += f", but the norm of its gradient is {error.norm}"
    largest = max((_largest(batch.inputs) for batch in batches), default=0.0)
    bad = [index for batch in batches for index in _not_finite(batch)]
    indices = bad or [index for batch in batches for index in batch.indices]
    sources = ", ".join(printable(loader.pieces.source(index)) for index in indices[:5])
    more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
    when = f"step {step + 1} (epoch {loader.epoch(step) + 1})"
    return Diverged(
        f"{what} at {when}; stopped before the update, the weights are as they were.\n"
        f"  samples {'with inputs that are not finite' if bad else 'of the batch'}: {sources}{more}\n"
        f"  {_culprit(step, batches, model, task, runtime)}\n"
        f"  learning rate {lr:.4g}, largest input {largest:.4g}\n"
        "  try a lower optimizer.lr, some schedule.warmup or train.clip; or look at those samples"
    )


def _culprit(step: int, batches: list[Batch], model: nn.Module, task: Task, runtime: Runtime) -> str:
    """The first layer, or the first gradient on the way back, that is not finite: the update is computed once more."""
    runtime.begin(step)
    count = max(1, sum(batch.count for batch in batches))
    model.zero_grad()
    with _watched(model) as (layers, gradients), torch.compiler.set_stance("force_eager"):
        for batch in batches:
            batch = task.augment(batch.to(runtime.device), runtime.rng)
            with runtime.autocast():
                loss = task.loss(model(**batch.inputs), batch)
            assert loss is not None
            if layers:
                return f"first layer whose output is not finite: {layers[0]}"
            if not loss.isfinite():
                return "the output of every layer is finite; what the loss makes of it is not"
            runtime.backward(loss, count)
            if gradients:
                return f"first gradient that is not finite, on the way back from the loss: {gradients[0]}"
    return "every layer and gradient of these samples is finite: their sum is not, or those of another process are not"


@contextmanager
def _watched(model: nn.Module) -> Iterator[tuple[list[str], list[str]]]:
    """Layers (those inside others first) and parameters, as what they yield turns out not to be finite."""
    layers: list[str] = []
    gradients: list[str] = []

    def look(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        if not _finite(output):
            layers.append(f"{name or 'the network'} ({type(layer).__name__})")

    def look_back(name: str, parameter: Tensor) -> None:
        if parameter.grad is not None and not _finite(parameter.grad):
            gradients.append(name)

    hooks = [layer.register_forward_hook(partial(look, name)) for name, layer in model.named_modules()]
    hooks += [
        parameter.register_post_accumulate_grad_hook(partial(look_back, name))  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    try:
        yield layers, gradients
    finally:
        for hook in hooks:
            hook.remove()


def _finite(value: Any) -> bool:
    """Whether every number in a tensor, or in tensors within each other, is finite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        value = list(value.values())
    return all(map(_finite, value)) if isinstance(value, list | tuple) else True


def _not_finite(batch: Batch) -> list[int]:
    """The pieces of a batch with an input that is not finite."""
    wrong = torch.zeros(len(batch.indices), dtype=torch.bool)
    for value in batch.inputs.values():
        if isinstance(value, Tensor) and value.is_floating_point() and len(value) == len(wrong):
            wrong |= ~value.isfinite().reshape(len(wrong), -1).all(1).cpu()
    return [index for index, is_wrong in zip(batch.indices, wrong.tolist(), strict=True) if is_wrong]


def _largest(inputs: dict[str, Any]) -> float:
    return max(
        (float(value.abs().max()) for value in inputs.values() if isinstance(value, Tensor) and value.numel()),
        default=0.0,
    )
