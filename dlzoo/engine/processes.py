"""The processes of one run under torchrun: who am I, sums over all, plain values to all. A lone process pays nothing.

Gradients are summed once, after the last micro-batch, in one flat buffer, over the true count: so processes may have
unequal numbers of samples (or none), and weights that no process used stay untouched. Values go as JSON over byte
tensors, never pickled.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from dlzoo.errors import ResourceError

P = ParamSpec("P")
T = TypeVar("T")
TIMEOUT = timedelta(minutes=5)


def _together(act: Callable[P, T]) -> Callable[P, T]:
    """A lost or stuck process, which every other one notices in its next exchange, as one message."""

    @wraps(act)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return act(*args, **kwargs)
        except RuntimeError as error:
            why = str(error).splitlines()[0][:120]
            raise ResourceError(
                f"another process of this run died or did not answer within {TIMEOUT.seconds} s ({why})\n"
                "  look for its own message above; train --resume, under torchrun, goes on from the last checkpoint"
            ) from error

    return wrapped


class Processes:
    """A process among the others of its run."""

    def __init__(self, device: torch.device):
        self.rank = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = device
        self.host: dist.ProcessGroup | None = None
        if self.world > 1:
            self._join()

    @_together
    def _join(self) -> None:
        os.environ.setdefault(
            "GLOO_SOCKET_IFNAME", "lo" if os.environ.get("MASTER_ADDR") in ("127.0.0.1", "localhost") else ""
        )
        if not os.environ["GLOO_SOCKET_IFNAME"]:
            del os.environ["GLOO_SOCKET_IFNAME"]
        if not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=TIMEOUT)
        # plain numbers go through the host, so that they never wait for the GPU
        self.host = dist.new_group(backend="gloo", timeout=TIMEOUT)  # type: ignore[assignment]

    @property
    def main(self) -> bool:
        """The one process that prints and writes."""
        return self.rank == 0

    @_together
    def total(self, values: list[float]) -> list[float]:
        """Each number summed over the processes."""
        if self.world == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self.host)
        return tensor.tolist()

    @_together
    def gather(self, value: Any) -> list[Any]:
        """The plain value (numpy arrays allowed) of every process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(_plain(value)).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([own.numel()]), group=self.host)
        longest = max(int(size) for size in sizes)
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.world)]
        dist.all_gather(parts, torch.cat([own, own.new_zeros(longest - own.numel())]), group=self.host)
        pairs = zip(parts, sizes, strict=True)
        return [json.loads(part[: int(size)].numpy().tobytes(), object_hook=_array) for part, size in pairs]

    def from_main(self, value: T) -> T:
        """The main process's value, in every process."""
        return self.gather(value if self.main else None)[0] if self.world > 1 else value

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block before the others do."""
        if not self.main:
            self.total([0.0])
        yield
        if self.main:
            self.total([0.0])

    @_together
    def sum_gradients(self, model: nn.Module, loss: Tensor) -> None:
        """Every gradient, and `loss`, becomes its sum over the processes; running statistics become their mean."""
        if self.world == 1:
            return
        dist.all_reduce(loss)
        weights = [p for p in model.parameters() if p.requires_grad]
        used = self.total([float(p.grad is not None) for p in weights])
        weights = [p for p, count in zip(weights, used, strict=True) if count]
        for p in weights:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        self._reduce([p.grad for p in weights if p.grad is not None], 1.0)
        self._reduce([b for b in model.buffers() if b.is_floating_point()], 1 / self.world)

    def _reduce(self, tensors: list[Tensor], scale: float) -> None:
        for dtype in {tensor.dtype: None for tensor in tensors}:
            same = [tensor for tensor in tensors if tensor.dtype is dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in same])
            dist.all_reduce(flat)
            flat *= scale
            with torch.no_grad():
                for tensor, part in zip(same, torch.split(flat, [t.numel() for t in same]), strict=True):
                    tensor.copy_(part.view(tensor.shape))

    def leave(self) -> None:
        """End the group: from now on each process is alone, and the main one stays the main one."""
        self.world = 1
        if dist.is_initialized():
            dist.destroy_process_group()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {
            "__array__": base64.b64encode(value.tobytes()).decode(),
            "dtype": value.dtype.str,
            "shape": list(value.shape),
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _array(value: dict[str, Any]) -> Any:
    if "__array__" not in value:
        return value
    raw = base64.b64decode(value["__array__"])
    return np.frombuffer(raw, dtype=np.dtype(value["dtype"])).reshape(value["shape"]).copy()
