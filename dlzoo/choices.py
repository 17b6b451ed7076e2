"""Closed lists of names that several signatures share; free of torch, so that a config is checked without it."""

from typing import Literal

Activation = Literal[
    "relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "relu6", "hardswish", "mish", "softplus", "selu"
]
"""Names of layers.activation.activation."""
Norm = Literal["batch", "layer", "rms", "none"]
ClassificationLoss = Literal["cross_entropy", "focal", "binary_cross_entropy"]
RegressionLoss = Literal["mse", "mae", "huber"]
ForecastLoss = Literal["mse", "mae", "huber", "pinball"]
Pool = Literal["auto", "mean", "max", "last", "first", "attention"]
Tokens = Literal["characters", "words", "bytes", "bpe"]
"""Names of transforms.text.tokenizer."""
Position = Literal["learned", "sinusoidal", "rotary"]
"""Where a Transformer knows places from: layers.position."""
Gate = Literal["gelu", "relu", "silu", "swiglu"]
"""Activations of a Transformer's feed-forward network; swiglu has a gate."""
Augment = Literal["none", "flip", "shift", "shift_flip", "zoom_flip"]
"""Random changes to a batch of pictures: transforms.augment."""
Numbers = Literal["standard", "robust", "quantile"]
"""How transforms.table scales the number columns."""
SeriesScale = Literal["window", "last", "series", "none"]
SeriesTransform = Literal["none", "log"]
"""How transforms.scaling normalises windows of series, and what it does first."""
