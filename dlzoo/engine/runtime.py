"""The machine: device, threads, precision, clipping, memory layout. Everything about training that is not training."""

import math
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlzoo.config import Train
from dlzoo.engine import seeds
from dlzoo.engine.allocator import Holes, keep_freed_memory
from dlzoo.engine.processes import Processes
from dlzoo.errors import UserError
from dlzoo.registry import REGISTRIES

OVERFLOWS = 20
"""Updates in a row that a float16 scaler may skip before the run counts as diverged."""
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class NotFinite(Exception):  # noqa: N818
    """A loss or gradient that is not finite, found before the update. The loop says where."""

    def __init__(self, loss: float, norm: float, ago: int = 0):
        super().__init__()
        self.loss = loss
        self.norm = norm
        self.ago = ago


class Runtime:
    """Where and how tensors are computed; the loops call its verbs and know nothing of the machine."""

    def __init__(self, train: Train = Train()):  # noqa: B008 (frozen)
        self.device = device(train.device)
        self.processes = Processes(self.device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = train.precision == "tf32"
        else:
            keep_freed_memory()
        self.holes = Holes()
        self.threads = train.threads or torch.get_num_threads()
        torch.set_num_threads(self.threads)
        self.dtype = DTYPES[train.precision]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=train.precision == "float16")
        self.skipped = 0
        self.defers = self.device.type == "cuda"
        self.graphs = train.cuda_graphs
        self.bad = torch.zeros(3, device=self.device)
        self.rng = torch.Generator(self.device)
        self._seed = train.seed

    def place(self, model: nn.Module, channels_last: bool = False, compile: bool = False) -> nn.Module:
        """`model` on the device, in the memory layout asked for, compiled if asked for (in place: names stay)."""
        model.to(self.device)
        if channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compile:
            model.compile(mode="reduce-overhead" if self.graphs else "default")
        return model

    def begin(self, step: int) -> None:
        """Seed all randomness of update number `step` (from 0): dropout and augmentation are functions of the step."""
        seed = seeds.key(self._seed, "step", step, self.processes.rank)
        seeds.seed_globals(seed, torch_alone=not self._foreign)
        self.rng.manual_seed(seed)
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]

    @cached_property
    def _foreign(self) -> bool:
        """Whether code may run that draws from numpy's or python's own generator; none of dlzoo's does."""
        return any(registry.foreign() for registry in REGISTRIES.values())

    def autocast(self) -> AbstractContextManager[Any]:
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def total(self, count: int) -> float:
        """`count` summed over the processes; at least 1."""
        return max(1.0, self.processes.total([float(count)])[0]) if self.processes.world > 1 else max(1, count)

    def backward(self, loss: Tensor, count: float = 1.0) -> None:
        """Add the gradients of `loss / count`; a division in the graph would cost as much as a small layer."""
        scaled = self.scaler.scale(loss)
        scaled.backward(torch.full_like(scaled, 1 / count))  # type: ignore[no-untyped-call]

    def update(self, model: nn.Module, optimizer: Optimizer, loss: Tensor, clip: float | None) -> Tensor:
        """Clip the gradient to the norm `clip`, update, reset; returns the norm before clipping.

        Raises NotFinite, the weights untouched, where loss or norm is not finite; but the infinite gradients that a
        float16 scaler provokes only skip the update, unless that happens 20 times in a row. On CUDA a fused optimizer
        skips on the device, from the first bad update on, and `check` raises when the host next reads.
        """
        self.processes.sum_gradients(model, loss)
        self.scaler.unscale_(optimizer)
        weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = [p.grad for p in weights]
        norms = torch._foreach_norm(gradients) if gradients else (torch.zeros((), device=self.device),)
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        if self.defers and not self.scaler.is_enabled() and optimizer.defaults.get("fused"):
            self._flag(optimizer, gradients, loss, norm, clip)
        else:
            self._read(gradients, loss.item(), norm.item(), clip)
        self.scaler.step(optimizer)
        self.scaler.update()
        for p in weights:
            p.grad = None
        return norm

    def check(self) -> None:
        """Raise NotFinite if an update since the last look was bad (where `update` itself does not look)."""
        if self.defers and (skipped := int(self.bad[0])):
            raise NotFinite(float(self.bad[1]), float(self.bad[2]), ago=skipped - 1)

    def _read(self, gradients: list[Tensor], loss: float, norm: float, clip: float | None) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            self.skipped = 0
            if clip and norm > clip:
                torch._foreach_mul_(gradients, clip / norm)
            return
        self.skipped += 1
        if not self.scaler.is_enabled() or not math.isfinite(loss) or self.skipped >= OVERFLOWS:
            raise NotFinite(loss, norm)

    def _flag(
        self, optimizer: Optimizer, gradients: list[Tensor], loss: Tensor, norm: Tensor, clip: float | None
    ) -> None:
        """`_read` without reading: bad = [updates skipped, loss, norm of the first]; a fused step obeys found_inf."""
        finite = torch.isfinite(loss) & torch.isfinite(norm) & (self.bad[0] == 0)
        first = ~finite & (self.bad[0] == 0)
        self.bad = torch.where(first, torch.stack([self.bad[0], loss.float(), norm.float()]), self.bad)
        self.bad[0] += ~finite
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        if clip:
            torch._foreach_mul_(gradients, torch.clamp(clip / norm, max=1.0))


def device(name: str) -> torch.device:
    """The device that a config names; under torchrun each process takes the GPU of its local rank."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device: cuda, but torch {torch.__version__} sees no CUDA device; use device: auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
