"""The learning rate as a pure function of the step: nothing to save, nothing to restore. Plateau alone remembers."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from dlzoo.config import Constant, Cosine, Linear, OneCycle, Plateau, Schedule, Step


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What update number `step` (from 0) of `steps` multiplies the learning rate with. For Plateau: its warm-up alone.

    Warm-up rises linearly to 1 over its updates; what follows counts from its end.
    """
    warm = warmup(schedule, steps)
    if step < warm:
        return (step + 1) / warm
    done, left = step - warm, max(1, steps - warm)
    match schedule:
        case Cosine(floor=floor):  # Loshchilov and Hutter 2016, eq. 5, without restarts
            return floor + (1 - floor) * (1 + math.cos(math.pi * done / left)) / 2
        case Linear(floor=floor):
            return 1 + (floor - 1) * done / left
        case Step():
            return schedule.gamma ** (done // _updates(schedule.every, steps))
        case OneCycle():
            return _one_cycle(schedule, done, left)
        case _:
            return 1.0


def warmup(schedule: Schedule, steps: int) -> int:
    """Updates of warm-up: a `warmup` below 1 is a share of all updates."""
    return round(schedule.warmup * steps) if schedule.warmup < 1 else int(schedule.warmup)


def _updates(every: float, steps: int) -> int:
    return max(1, round(every * steps) if every < 1 else int(every))


def _one_cycle(schedule: OneCycle, done: int, left: int) -> float:
    """Smith and Topin 2017: from 1/div up to 1 over `rise` of the updates, down to 1/(div · final_div); halves of cosines.

    As torch.optim.lr_scheduler.OneCycleLR with anneal_strategy "cos".
    """
    peak = schedule.rise * left - 1
    start, end = 1 / schedule.div, 1 / (schedule.div * schedule.final_div)
    if done <= peak:
        return _cosine(start, 1.0, done / peak)
    return _cosine(1.0, end, (done - peak) / max(1e-9, left - 1 - peak))


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
        if self.waiting <= schedule.patience:
            return False
        self.waiting = 0
        lower = max(self.factor * schedule.gamma, schedule.floor)
        self.factor, before = lower, self.factor
        return lower < before

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor, self.best, self.waiting = state["factor"], state["best"], state["waiting"]
