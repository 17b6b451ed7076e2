"""Which places of a source a recurrent decoder looks at (Bahdanau et al., 2014; Luong et al., 2015)."""

import torch
from torch import Tensor, nn

from dlzoo.choices import Alignment


class AlignmentAttention(nn.Module):
    """Scores of the places m of a memory for a state h, both D wide; their softmax weighs what is read of the memory.

    additive: v tanh(W h + U m) (arXiv:1409.0473, A.1.2); dot: h m; general: h W m (arXiv:1508.04025, section 3.1).
    """

    def __init__(self, kind: Alignment, dim: int):
        super().__init__()
        self.additive = kind == "additive"
        self.keys = nn.Identity() if kind == "dot" else nn.Linear(dim, dim, bias=False)
        self.query = nn.Linear(dim, dim) if self.additive else nn.Identity()
        self.score = nn.Linear(dim, 1, bias=False) if self.additive else nn.Identity()

    def forward(self, h: Tensor, memory: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What states (B, T, D) read of a memory (B, S, D) with its `keys` (B, S, D) and mask: (B, T, D); the weights
        (B, T, S).
        """
        if self.additive:
            scores = self.score((self.query(h)[:, :, None] + keys[:, None]).tanh())[..., 0]
        else:
            scores = h @ keys.mT
        seen = mask | ~mask.any(1, keepdim=True)  # a row of nothing but padding sees all of it, or is NaN
        weights = scores.float().masked_fill(~seen[:, None], -torch.inf).softmax(-1).to(memory.dtype)
        return weights @ memory, weights
