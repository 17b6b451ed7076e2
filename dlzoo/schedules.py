"""Schedules of the learning rate as torch-free dataclasses: the section `schedule`, decided by `name`.

engine/schedule.py says what each does to the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from annotated_types import Gt, Lt

from dlzoo.choices import Amount, Chance, Count, Factor, Positive


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout, after `warmup`.

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
    """

    name: Literal["constant"] = "constant"
    warmup: Amount = 0.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine down to `floor` times the learning rate (Loshchilov and Hutter, 2016).

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
        floor: what the learning rate is multiplied by at the end
    """

    name: Literal["cosine"] = "cosine"
    warmup: Amount = 0.0
    floor: Chance = 0.0


@dataclass(frozen=True)
class Linear:
    """A straight line down to `floor` times the learning rate.

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
        floor: what the learning rate is multiplied by at the end
    """

    name: Literal["linear"] = "linear"
    warmup: Amount = 0.0
    floor: Chance = 0.0


@dataclass(frozen=True)
class Step:
    """The learning rate times `factor` after every `every` updates.

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
        every: updates between two drops: a share of all updates below 1, else their number
        factor: what each drop multiplies the learning rate by
    """

    name: Literal["step"] = "step"
    warmup: Amount = 0.0
    every: Positive = 0.3
    factor: Factor = 0.1


@dataclass(frozen=True)
class OneCycle:
    """Half a cosine up to the learning rate and another down to almost nothing (Smith and Topin, 2017).

    Args:
        warmup: updates on the way up: a share of all updates below 1, else their number
        start: what the learning rate is multiplied by at the first update
        floor: what the learning rate is multiplied by at the end
    """

    name: Literal["one_cycle"] = "one_cycle"
    warmup: Amount = 0.3
    start: Factor = 0.04
    floor: Chance = 4e-6


@dataclass(frozen=True)
class Plateau:
    """The learning rate times `factor` whenever `patience` evaluations in a row were no better than the best before.

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
        patience: evaluations without a better score before a drop
        factor: what each drop multiplies the learning rate by
        floor: what the learning rate is multiplied by at least
    """

    name: Literal["plateau"] = "plateau"
    warmup: Amount = 0.0
    patience: Count = 5
    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    floor: Chance = 1e-3


Schedule = Constant | Cosine | Linear | Step | OneCycle | Plateau

SCHEDULES: dict[str, Any] = {cls.name: cls for cls in get_args(Schedule)}
