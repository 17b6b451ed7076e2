"""Closed lists of names, and ranges of numbers, that several signatures share; free of torch, so that a config is
checked without it.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, Predicate

Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Amount = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
"""What is dropped, smoothed or kept: never all of it."""
Chance = Annotated[float, Ge(0), Le(1)]
Factor = Annotated[float, Gt(0), Le(1)]
"""A drop: something, and nothing above the whole."""

Alignment = Literal["additive", "dot", "general"]
"""How layers.alignment scores the places of a source."""
Activation = Literal[
    "relu",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
    "silu",
    "elu",
    "leaky_relu",
    "relu6",
    "hardswish",
    "mish",
    "softplus",
    "selu",
]
"""Names of layers.activation.activation; gelu_tanh is gelu by an approximation, as in GPT-2."""
Norm = Literal["batch", "layer", "rms", "none"]
ClassificationLoss = Literal["cross_entropy", "focal", "binary_cross_entropy"]
SegmentationLoss = Literal["cross_entropy_dice", "cross_entropy", "dice", "focal"]
BinaryLoss = Literal["focal", "binary_cross_entropy"]
"""Those of them that score every class by itself."""
RegressionLoss = Literal["mse", "mae", "huber"]
MarginLoss = Literal["arcface", "cosface"]
"""Names of losses.margin."""
ForecastLoss = Literal["mse", "mae", "huber", "pinball"]
Pool = Literal["auto", "mean", "max", "last", "first", "attention"]
Tokens = Literal["characters", "words", "bytes", "bpe", "wordpiece", "unigram"]
TokenSource = Tokens | Annotated[str, Predicate(lambda path: path.endswith(".json") or "/" in path)]
"""Names of transforms.text.tokenizer, or a file (or its folder, with a slash)."""
Writing = Literal["translation", "summary"]
"""What a written text is to be, and so how it is scored: metrics.translation, metrics.summary."""
Position = Literal["learned", "sinusoidal", "rotary"]
"""Where a Transformer knows places from: layers.position."""
Gate = Literal[Activation, "swiglu"]
"""Activations of a Transformer's feed-forward network; swiglu has a gate."""
Augment = Literal["none", "flip", "shift", "shift_flip", "tilt", "tilt_flip", "zoom_flip"]
"""Random changes to a batch of pictures: transforms.augment."""
Warp = Literal["none", "flip", "zoom_flip", "zoom_turn"]
"""Random changes to pictures and their masks: transforms.warp."""
Magnitude = Annotated[int, Ge(0), Le(30)]
"""Strength of RandAugment's changes, on torchvision's scale of 31 bins: transforms.randaugment."""
Normalize = Literal["data", "imagenet", "kinetics", "none"]
"""Whose mean and spread of colours pictures are scaled by: transforms.pictures."""
Numbers = Literal["standard", "robust", "quantile"]
"""How transforms.table scales the number columns."""
SeriesScale = Literal["window", "last", "series", "none"]
SeriesTransform = Literal["none", "log"]
"""How transforms.scaling normalises windows of series, and what it does first."""
