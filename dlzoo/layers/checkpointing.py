"""Gradient checkpointing (Chen et al., 2016, arXiv:1604.06174): what would be kept for backward is computed again."""

from torch import nn

from dlzoo.errors import ConfigError
from dlzoo.layers.transformer import Blocks


def checkpoint(backbone: nn.Module) -> None:
    """Let each block of a Transformer, ours or transformers', keep its input alone in training.

    Raises ConfigError for a model without such blocks.
    """
    found = False
    for module in backbone.modules():
        if isinstance(module, Blocks):
            found = module.checkpointing = True
        elif getattr(module, "supports_gradient_checkpointing", False):
            found = True
            module.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    if not found:
        raise ConfigError(
            ["train.checkpointing: this model has no Transformer's blocks to compute again; leave it out"]
        )
