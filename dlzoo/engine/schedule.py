"""The learning rate as a pure function of the step: nothing to save, nothing to restore. Plateau alone remembers."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from dlzoo.schedules import Cosine, Linear, OneCycle, Plateau, Schedule, Step


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What update number `step` (from 0) of `steps` multiplies the learning rate with. For Plateau: its warm-up alone.

    Warm-up rises linearly to 1 over its updates; what follows counts from its end.
    """
    warm = warmup(schedule, steps)
    done, left = step - warm, max(1, steps - warm)
    match schedule:
        case OneCycle():
            return _one_cycle(schedule, step, warm, steps)
        case _ if step < warm:
            return (step + 1) / warm
        case Cosine(floor=floor):  # Loshchilov and Hutter 2016, eq. 5, without restarts
            return floor + (1 - floor) * (1 + math.cos(math.pi * done / left)) / 2
        case Linear(floor=floor):
            return 1 + (floor - 1) * done / left
        case Step():
            return schedule.factor ** (done // max(1, updates(schedule.every, steps)))
        case _:
            return 1.0


def warmup(schedule: Schedule, steps: int) -> int:
    """Updates of warm-up."""
    return updates(schedule.warmup, steps)


def updates(amount: float, steps: int) -> int:
    """A number of updates: below 1, `amount` is a share of all of them."""
    return round(amount * steps) if amount < 1 else int(amount)


def _one_cycle(schedule: OneCycle, step: int, warm: int, steps: int) -> float:
    """Smith and Topin 2017: halves of cosines from `start` up to 1 and down to `floor`, as torch's OneCycleLR."""
    if step < warm:
        return _cosine(schedule.start, 1.0, step / max(1, warm - 1))
    return _cosine(1.0, schedule.floor, (step - warm + 1) / max(1, steps - warm))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, share)))


@dataclass
class Drops:
    """How far a Plateau schedule has come down: fed with the monitored score of each evaluation, saved with the run."""

    factor: float = 1.0
    best: float | None = None
    waiting: int = 0

    def update(self, schedule: Schedule, score: float) -> bool:
        """Take in a score, of which more is better (NaN is no improvement). True where the learning rate came down."""
        if not isinstance(schedule, Plateau):
            return False
        if self.best is None or score > self.best:
            self.best, self.waiting = (None if math.isnan(score) else score), 0
            return False
        self.waiting += 1
        if self.waiting < schedule.patience:
            return False
        self.waiting = 0
        lower = max(self.factor * schedule.factor, schedule.floor)
        self.factor, before = lower, self.factor
        return lower < before

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor, self.best, self.waiting = state["factor"], state["best"], state["waiting"]
