"""Optimizers and schedules as torch-free dataclasses: the sections `optimizer` and `schedule`, decided by `name`.

The fields are the arguments of the classes of the same name in torch.optim; engine/optimizer.py builds those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
Amount = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
Factor = Annotated[float, Gt(0), Le(1)]
"""A floor or a drop: nothing above the learning rate itself."""
Betas = tuple[Share, Share]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum (Polyak, 1964) or Nesterov's (1983).

    Args:
        lr: learning rate
        momentum: share of the last update that goes on
        nesterov: look ahead along the momentum
        weight_decay: pull of weights towards zero (not of norms and biases)
        fused: one kernel for all weights; null chooses by device
    """

    name: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Amount = 0.0
    fused: bool | None = None

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with it beside the others."""
        if self.nesterov and not self.momentum:
            yield "nesterov", "looks ahead along the momentum, so momentum must be more than 0"


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2014).

    Args:
        lr: learning rate
        betas: decay of the running means of the gradient and of its square
        eps: added to the denominator
        weight_decay: pull of weights towards zero, through the gradient (not of norms and biases)
        amsgrad: keep the largest mean square seen (Reddi et al., 2018)
        fused: one kernel for all weights; null chooses by device
    """

    name: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Amount = 1e-8
    weight_decay: Amount = 0.0
    amsgrad: bool = False
    fused: bool | None = None


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017).

    Args:
        lr: learning rate
        betas: decay of the running means of the gradient and of its square
        eps: added to the denominator
        weight_decay: share of a weight that one update at lr 1 takes away (not from norms and biases)
        amsgrad: keep the largest mean square seen (Reddi et al., 2018)
        fused: one kernel for all weights; null chooses by device
    """

    name: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Amount = 1e-8
    weight_decay: Amount = 0.01
    amsgrad: bool = False
    fused: bool | None = None


@dataclass(frozen=True)
class NAdam:
    """Adam with Nesterov momentum (Dozat, 2016).

    Args:
        lr: learning rate
        betas: decay of the running means of the gradient and of its square
        eps: added to the denominator
        weight_decay: pull of weights towards zero (not of norms and biases)
        momentum_decay: how fast the momentum warms up
        decoupled_weight_decay: decay as in adamw, not through the gradient
    """

    name: Literal["nadam"] = "nadam"
    lr: Positive = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Amount = 1e-8
    weight_decay: Amount = 0.0
    momentum_decay: Amount = 4e-3
    decoupled_weight_decay: bool = False


@dataclass(frozen=True)
class RAdam:
    """Adam with a rectified variance in its first updates (Liu et al., 2019).

    Args:
        lr: learning rate
        betas: decay of the running means of the gradient and of its square
        eps: added to the denominator
        weight_decay: pull of weights towards zero (not of norms and biases)
        decoupled_weight_decay: decay as in adamw, not through the gradient
    """

    name: Literal["radam"] = "radam"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Amount = 1e-8
    weight_decay: Amount = 0.0
    decoupled_weight_decay: bool = False


@dataclass(frozen=True)
class Adamax:
    """Adam with the infinity norm (Kingma and Ba, 2014, section 7.1).

    Args:
        lr: learning rate
        betas: decay of the running mean of the gradient and of its largest size
        eps: added to the denominator
        weight_decay: pull of weights towards zero, through the gradient (not of norms and biases)
    """

    name: Literal["adamax"] = "adamax"
    lr: Positive = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Amount = 1e-8
    weight_decay: Amount = 0.0


@dataclass(frozen=True)
class RMSprop:
    """Gradients divided by a running root mean square (Hinton, 2012).

    Args:
        lr: learning rate
        alpha: decay of the running mean square
        eps: added to the denominator
        momentum: share of the last update that goes on
        centered: divide by the running standard deviation instead (Graves, 2013)
        weight_decay: pull of weights towards zero, through the gradient (not of norms and biases)
    """

    name: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 1e-2
    alpha: Share = 0.99
    eps: Amount = 1e-8
    momentum: Share = 0.0
    centered: bool = False
    weight_decay: Amount = 0.0


@dataclass(frozen=True)
class Adagrad:
    """Gradients divided by the root of the sum of all their squares (Duchi et al., 2011).

    Args:
        lr: learning rate
        lr_decay: lr is divided by 1 + lr_decay times the number of the update
        initial_accumulator_value: where the sum of squares starts
        eps: added to the denominator
        weight_decay: pull of weights towards zero, through the gradient (not of norms and biases)
        fused: one kernel for all weights; null chooses by device
    """

    name: Literal["adagrad"] = "adagrad"
    lr: Positive = 1e-2
    lr_decay: Amount = 0.0
    initial_accumulator_value: Amount = 0.0
    eps: Amount = 1e-10
    weight_decay: Amount = 0.0
    fused: bool | None = None


@dataclass(frozen=True)
class Adadelta:
    """Adagrad with a window, and units that match (Zeiler, 2012).

    Args:
        lr: learning rate
        rho: decay of the running mean squares
        eps: added to the denominator
        weight_decay: pull of weights towards zero, through the gradient (not of norms and biases)
    """

    name: Literal["adadelta"] = "adadelta"
    lr: Positive = 1.0
    rho: Share = 0.9
    eps: Amount = 1e-6
    weight_decay: Amount = 0.0


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
    floor: Annotated[float, Ge(0), Le(1)] = 0.0


@dataclass(frozen=True)
class Linear:
    """A straight line down to `floor` times the learning rate.

    Args:
        warmup: updates over which the learning rate rises from 0: a share of all updates below 1, else their number
        floor: what the learning rate is multiplied by at the end
    """

    name: Literal["linear"] = "linear"
    warmup: Amount = 0.0
    floor: Annotated[float, Ge(0), Le(1)] = 0.0


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
    floor: Annotated[float, Ge(0), Le(1)] = 4e-6


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
    patience: Annotated[int, Ge(1)] = 5
    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    floor: Annotated[float, Ge(0), Le(1)] = 1e-3


Optimizer = SGD | Adam | AdamW | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta
Schedule = Constant | Cosine | Linear | Step | OneCycle | Plateau

OPTIMIZERS: dict[str, Any] = {cls.name: cls for cls in get_args(Optimizer)}
SCHEDULES: dict[str, Any] = {cls.name: cls for cls in get_args(Schedule)}
