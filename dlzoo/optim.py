"""Optimizers as torch-free dataclasses: the section `optimizer`, decided by `name`.

The fields are the arguments of the classes of the same name in torch.optim; engine/optimizer.py builds those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dlzoo.choices import Amount, Positive, Share

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


Optimizer = SGD | Adam | AdamW | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta

OPTIMIZERS: dict[str, Any] = {cls.name: cls for cls in get_args(Optimizer)}
