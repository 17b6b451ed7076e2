"""Activations by name."""

from collections.abc import Callable
from functools import partial
from typing import get_args

from torch import nn

from dlzoo.choices import Activation
from dlzoo.errors import ConfigError, choose

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, "tanh"),  # what GPT-2 was trained with
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "selu": nn.SELU,
}


def activation(name: Activation, inplace: bool = False) -> nn.Module:
    """The activation of that name, with torch's default arguments. Raises ConfigError for any other name.

    `inplace` saves memory where it can: for relu, whose gradient needs its output alone.
    """
    if name not in ACTIVATIONS:
        raise ConfigError([choose(name, get_args(Activation), "activation")])
    return nn.ReLU(inplace) if name == "relu" else ACTIVATIONS[name]()
