"""ViT: an image is worth 16x16 words (Dosovitskiy et al., 2020, arXiv:2010.11929)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.published import address, first_for, for_patches, renamed
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS

ARCHS = {  # width, depth, heads, patch: torchvision's name
    (768, 12, 12, 16): "vit_b_16",
    (768, 12, 12, 32): "vit_b_32",
    (1024, 24, 16, 16): "vit_l_16",
    (1024, 24, 16, 32): "vit_l_32",
    (1280, 32, 16, 14): "vit_h_14",
}
NAMES = {  # torchvision's: ours
    r"heads": "",
    r"class_token": "token",
    r"conv_proj\.": "patches.",
    r"encoder\.pos_embedding": "position",
    r"encoder\.ln\.": "blocks.norm.",
} | {
    rf"encoder\.layers\.encoder_layer_(\d+)\.{theirs}": rf"blocks.blocks.\1.{ours}"
    for theirs, ours in {
        r"ln_([12])\.": r"norm\2.",
        r"self_attention\.in_proj_": "attention.qkv.",
        r"self_attention\.out_proj\.": "attention.out.",
        r"mlp\.(?:0|linear_1)\.": "mlp.up.",
        r"mlp\.(?:3|linear_2)\.": "mlp.down.",
    }.items()
}


@MODELS.register("vit")
class ViT(nn.Module):
    """Images (B, C, H, W) to a map of patches (B, dim, H / patch, W / patch), or to the class token (B, dim).

    The paper's ViT-B/16: dim 768, depth 12, heads 12, patch 16, out vector. The default is DeiT's tiny.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        patch: height and width of a patch in pixels; null for 16, or less where that leaves fewer than 7x7 patches
        dim: width of the features
        depth: number of blocks
        heads: of attention, each of width dim / heads
        hidden: width of the feed-forward networks; null for 4 dim
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
        drop_path: share of the samples for which the last block is skipped in training, rising to it from 0
        pretrained: weights to begin with: a .safetensors, .pt or .pth file with torchvision's names, or true to
            download torchvision's own; they are used to task.normalize imagenet
        out: the features of every patch, or those of the class token
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        patch: Count | None = None,
        dim: Count = 192,
        depth: Count = 12,
        heads: Count = 3,
        hidden: Count | None = None,
        activation: Gate = "gelu",
        dropout: Share = 0.0,
        drop_path: Share = 0.0,
        pretrained: str | bool = False,
        out: Literal["map", "vector"] = "map",
    ):
        super().__init__()
        if patch is None:
            patch = max(p for p in range(1, 17) if image_size % p == 0 and (p == 1 or image_size // p >= 7))
        if image_size % patch:
            raise ConfigError(
                [f"model.patch: patches of {patch} pixels do not divide pictures of {image_size}x{image_size}"]
            )
        self.arch = ARCHS.get((dim, depth, heads, patch)) if activation == "gelu" and not hidden else None
        """Its name in torchvision, if it has one."""
        self.patches = nn.Conv2d(in_channels, dim, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(torch.empty(1, (image_size // patch) ** 2 + 1, dim))
        self.dropout = Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            drop_path=drop_path,
            eps=1e-6,
        )
        for weight in (self.patches.weight, self.token, self.position):
            nn.init.trunc_normal_(weight, std=0.02)
        self.out = out
        self.features = Features("vector", dim) if out == "vector" else Features("map", dim, patch)

    def published(self) -> str:
        """The address of torchvision's weights."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of torchvision as this one's: without the classifier, for these pictures."""
        own = first_for(renamed(state, NAMES), "patches.weight", self.patches.in_channels)
        count = self.position.shape[1] - 1
        return {name: for_patches(value, count) if name == "position" else value for name, value in own.items()}

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        rows, columns = x.shape[2:]
        x = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = self.blocks(self.dropout(x + self.position))
        return x[:, 0] if self.out == "vector" else x[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
