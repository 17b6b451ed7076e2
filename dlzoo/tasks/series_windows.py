"""Long series as windows: what was known, and what came; sliced a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.task import Columns


class SeriesWindows:
    """Windows over several series, joined end to end: `lead` values that were known, and the `horizon` values that
    came.

    The values to foretell lie inside the span of the split; those that were known may lie before it, but never before
    the series: `context` of them are there, and where there are fewer than `lead`, the first is repeated. With
    `stride` a window starts every so many steps. Raises DataError where there is no window.

    `known` gives the covariates of a series that are known ahead (T, Q), `scaled` those of its past (T, P); `examples`
    turns raw windows into what `encode` gives.
    """

    def __init__(
        self,
        data: Subset,
        context: int,
        horizon: int,
        lead: int,
        stride: int,
        *,
        split: str,
        known: Callable[[Sample], Tensor],
        scaled: Callable[[Sample], Tensor],
        times: Callable[[Sample], Tensor],
        code: Callable[[Sample], int],
        examples: Callable[..., Columns],
    ):
        self.data, self.context, self.horizon, self.lead, self.stride = data, context, horizon, lead, stride
        self.examples = examples
        values, covariates, past, clock = [], [], [], []
        bases, firsts, counts, codes = [], [], [], []
        base, longest = 0, 0
        for i in range(len(data)):
            sample = data[i]
            start, stop = data.spans[i] if data.spans is not None else (0, len(sample["series"]))
            sample = {key: value[:stop] if key in CUT else value for key, value in sample.items()}
            series = sample["series"].double()
            if not torch.isfinite(series).all():
                place = int((~torch.isfinite(series)).nonzero()[0])
                raise DataError(
                    f"{data.source(i)}: value {place + 1} of the series is missing or not finite; fill it or cut it off"
                )
            first = max(start, context)
            longest = max(longest, stop - first)
            values.append(series)
            covariates.append(known(sample))
            past.append(scaled(sample))
            clock.append(times(sample))
            bases.append(base)
            firsts.append(first)
            counts.append(max(0, (stop - first - horizon) // stride + 1))
            codes.append(code(sample))
            base += stop
        self.values, self.known, self.past, self.times = (
            torch.cat(parts) for parts in (values, covariates, past, clock)
        )
        self.bases, self.firsts, self.codes = (torch.tensor(numbers) for numbers in (bases, firsts, codes))
        self.numbers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        """The number of the first window of each series, and of all windows."""
        if not len(self):
            raise DataError(
                f"{data.source(0) if len(data) else 'a split'}: no window fits into the {split} split: "
                f"it has {max(longest, 0)} steps to "
                f"foretell after a context of {context}, and task.horizon is {horizon}. "
                + (f"Give it {horizon} or more ({HOLD[split]}), or" if split in HOLD else "Take")
                + " a smaller context or horizon."
            )

    def __len__(self) -> int:
        return int(self.numbers[-1])

    def _place(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The series of windows (B,), and the step of it that is foretold first."""
        index = np.asarray(indices, np.int64)
        series = np.searchsorted(self.numbers, index, side="right") - 1
        which = torch.from_numpy(series)
        return which, self.firsts[which] + torch.from_numpy(index - self.numbers[series]) * self.stride

    def gather(self, indices: Sequence[int]) -> Columns:
        """Windows at once, as `encode` and stacking would give them."""
        series, first = self._place(indices)
        at = (self.bases[series] + first)[:, None]
        before = torch.maximum(at + torch.arange(-self.lead, 0), self.bases[series][:, None])
        context = at + torch.arange(-self.context, 0)
        ahead = at + torch.arange(self.horizon)
        return self.examples(
            before=self.values[before],
            past=self.past[context],
            known=self.known[torch.cat([context, ahead], 1)],
            times=self.times[ahead],
            series=self.codes[series],
            ahead=self.values[ahead],
        )

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which, first = (int(part) for part in self._place([index]))
        sample = self.data[which]
        begin, end = max(0, first - self.lead), first + self.horizon
        window = {
            key: value[begin : first if key in ("series", "past") else end]
            for key, value in sample.items()
            if key in CUT
        }
        return {**sample, **window, "ahead": sample["series"][first:end], "source": self.source(index)}

    def source(self, index: int) -> str:
        """The series, and the step of it that the window foretells first."""
        which, first = (int(part) for part in self._place([index]))
        return f"{self.data.source(which)}: step {first + 1:,}"


CUT = ("series", "past", "future", "times")
"""Keys of a sample that have one value a step."""
HOLD = {"validation": "data.hold_out", "test": "data.test"}
