"""The order of training as a function of (seed, epoch): which pieces stand in which window and micro-batch."""

import torch
from torch import Tensor

from dlzoo.engine.seeds import key

BUCKET = 64
"""Windows whose pieces are sorted by length together: enough to pad little, few enough to stay random."""


class Order:
    """The windows (pieces of one update) of every epoch, all of `batch_size` but the last.

    A last window of one piece joins the one before: alone it would have no batch statistics. With `lengths` (N,),
    pieces of similar length share a window, and the windows of an epoch are in random order.
    """

    def __init__(self, count: int, batch_size: int, seed: int, lengths: Tensor | None = None):
        self.count, self.batch_size, self.seed, self.lengths = count, batch_size, seed, lengths
        self.joins = count % batch_size == 1 and count > batch_size > 1
        """Whether the last piece of an epoch would stand alone, and joins the window before."""
        self.sizes = [batch_size] * (count // batch_size) + ([count % batch_size] if count % batch_size else [])
        if self.joins:
            self.sizes[-2:] = [batch_size + 1]
        self._kept: dict[int, list[Tensor]] = {}

    def __len__(self) -> int:
        """Windows in an epoch."""
        return len(self.sizes)

    def window(self, step: int) -> Tensor:
        """The pieces of update number `step` (from 0)."""
        epoch, place = divmod(step, len(self))
        if epoch not in self._kept:  # two epochs: workers are ahead of the training
            self._kept = {before: self._kept[before] for before in list(self._kept)[-1:]} | {epoch: self.epoch(epoch)}
        return self._kept[epoch][place]

    def epoch(self, epoch: int) -> list[Tensor]:
        """All windows of an epoch."""
        rng = torch.Generator().manual_seed(key(self.seed, "order", epoch))
        order = torch.randperm(self.count, generator=rng)
        if self.lengths is None:
            return list(torch.split(order, self.sizes))
        near = [
            part[torch.argsort(self.lengths[part], stable=True)]
            for part in torch.split(order, BUCKET * self.batch_size)
        ]
        windows = torch.split(torch.cat(near), self.sizes)
        return [windows[i] for i in torch.randperm(len(windows), generator=rng).tolist()]


def micro_batches(window: Tensor, batch_size: int, accumulate: int, rank: int, world: int) -> tuple[Tensor, ...]:
    """A process's share of a window, in `accumulate` parts at most; those of a short window are fewer, not smaller."""
    if accumulate * world == 1:
        return (window,)
    usual = max(1, batch_size // (accumulate * world))
    parts = max(1, min(accumulate * world, len(window) // usual))
    return window.tensor_split(parts)[rank::world]
