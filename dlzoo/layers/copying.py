"""Tokens of a source that are written again: the copying mechanism (Gu et al., 2016, arXiv:1603.06393)."""

from torch import Tensor, nn
from torch.nn import functional as F

Copied = tuple[Tensor, ...]
"""Keys (B, S, D) and tokens (B, S) of a source, which of its places have one token (B, S, S), 1 or 0 and 0 for padding,
and which have theirs first (B, S), likewise."""


class Copying(nn.Module):
    """Adds to the scores of tokens what speaks for copying them: p(v) goes with exp(g_v) + the sum of exp(c_s) over the
    places s of the source that have token v (eq. 4 to 8), g the scores, c_s = (W f)'(U m_s) / sqrt(D) of features f and
    a memory m.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)

    def remember(self, memory: Tensor, x: Tensor, mask: Tensor) -> Copied:
        """What `forward` needs of a memory (B, S, D), its tokens (B, S) and its mask (B, S)."""
        same = (x[:, :, None] == x[:, None]) & mask[:, :, None] & mask[:, None]
        first = mask & ~same.tril(-1).any(2)
        return self.key(memory), x, same.float(), first.float()

    def forward(self, scores: Tensor, features: Tensor, copied: Copied) -> Tensor:
        """Scores (B, T, V) and features (B, T, D) to scores (B, T, V)."""
        keys, x, same, first = copied
        each = (self.query(features) @ keys.mT).float() / keys.shape[2] ** 0.5
        each = each.masked_fill(~same.any(1)[:, None], -1e4)
        most = each.amax(2, keepdim=True)
        together = ((each - most).exp() @ same).float().clamp(min=1e-30).log() + most
        places = x[:, None].expand(-1, scores.shape[1], -1)
        more = F.softplus(together - scores.gather(2, places).float()) * first[:, None]
        return scores.scatter_add(2, places, more.to(scores.dtype))
