"""A place on the unit sphere for a whole sample, beside one for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Pool
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled


class Embedded(nn.Module):
    """Features, pooled as Pooled does, to embeddings of length 1 (B, dim) and their cosines to K classes (B, K).

    The classes are directions that are learned, too (Wang et al., 2017, arXiv:1704.06369).
    """

    def __init__(self, features: Features, dim: int, classes: int, pool: Pool = "auto", dropout: float = 0.0):
        super().__init__()
        self.pooled = Pooled(features, dim, pool, dropout)
        self.classes = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_uniform_(self.classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        embedding = F.normalize(self.pooled(features).float(), eps=1e-6)
        return embedding, F.linear(embedding, F.normalize(self.classes.float()))
