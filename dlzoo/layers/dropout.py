"""Dropout: improving neural networks by preventing co-adaptation of feature detectors (Hinton et al., 2012)."""

import torch
from torch import Tensor, nn

LEVELS = 2**16
"""Shares that 16 random bits can tell apart."""


class Dropout(nn.Dropout):
    """torch's, which on a CPU draws 16 bits for a value at once: forward and backward take a third of the time."""

    def forward(self, x: Tensor) -> Tensor:
        lost = round(self.p * LEVELS)
        if not self.training or not lost or lost == LEVELS or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (bits >= lost - LEVELS // 2).to(x.dtype)
        return x * kept.mul_(LEVELS / (LEVELS - lost))
