"""Long series as windows: what was known, and what came; sliced a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.task import Columns
from dlzoo.tasks.series_encoder import SeriesEncoder
from dlzoo.transforms.scaling import finite


class SeriesWindows:
    """Windows over series that are joined end to end: `lead` values that were known, and `horizon` that came.

    The values to foretell lie inside the span of the split; those that were known may lie before it, but never before
    the series: `context` of them are there, and where there are fewer than `lead`, the first is repeated. With
    `stride` a window starts every so many steps. Raises DataError where there is no window.
    """

    def __init__(self, data: Subset, encoder: SeriesEncoder, stride: int, split: str):
        self.data, self.encoder, self.stride = data, encoder, stride
        self.context, self.horizon, self.lead = encoder.context, encoder.horizon, encoder.lead
        values, covariates, past, clock = [], [], [], []
        bases, firsts, counts, codes = [], [], [], []
        base, longest, steps = 0, 0, 0
        for i in range(len(data)):
            sample = data[i]
            start, stop = data.spans[i] if data.spans is not None else (0, len(sample["series"]))
            sample = {key: value[:stop] if key in CUT else value for key, value in sample.items()}
            series = finite(sample["series"], f"{data.source(i)}: ")
            encoder.scaler.forward(series, f"{data.source(i)}: ")  # what has no logarithm is told here, with its place
            first = max(start, self.context)
            longest, steps = max(longest, stop - first), max(steps, stop)
            values.append(series)
            covariates.append(encoder.known(sample))
            past.append(encoder.past(sample))
            clock.append(encoder.times(sample))
            bases.append(base)
            firsts.append(first)
            counts.append(max(0, (stop - first - self.horizon) // stride + 1))
            codes.append(encoder.code(sample))
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
                f"of {steps} steps {max(longest, 0)} come after a context of {self.context}, and task.horizon is "
                f"{self.horizon}. "
                + (f"Give it {self.horizon} or more ({HOLD[split]}), or" if split in HOLD else "Take")
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
        return self.encoder.examples(
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
