"""Which places of a pyramid answer for which boxes: task-aligned assignment (TOOD, Feng et al., 2021,
arXiv:2108.07755).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.transforms.boxes import overlap

NEAREST = 13
"""Places that answer for a box, at most."""
SHARP = 6.0
"""How much more the overlap counts than the score."""


@dataclass
class Assigned:
    """What each of A places of B pictures should say."""

    scores: Tensor
    """(B, A, K): at the class of its box how well a place is to be sure of it, 0 to 1; 0 elsewhere."""
    boxes: Tensor
    """(B, A, 4), of places whose `weight` is not 0."""
    weight: Tensor
    """(B, A): the sum of the scores over the classes."""


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, centres: Tensor, stride: float, truth: Tensor, labels: Tensor) -> Assigned:
    """The places that already answer best for each box, of those whose centre lies in it.

    scores (B, A, K), 0 to 1, and boxes (B, A, 4) are what the network says at places with `centres` (A, 2); truth is
    (B, M, 4) and labels (B, M), -1 where there is no box. A box counts as at least one `stride` wide and high, so that
    some centre lies in it. Of the alignment t = score * overlap^6 a box takes the 13 best places; a place that two
    boxes take answers for the one that it overlaps more; t is scaled so that its maximum for a box is the best overlap.
    """
    B, A, K = scores.shape
    middle, half = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2]) / 2
    away = (centres - middle[:, :, None]).abs() - half.clamp(min=stride / 2)[:, :, None]
    inside = (away <= 0).all(-1) & (labels >= 0)[..., None]
    shared = overlap(truth[:, :, None], boxes[:, None])
    own = scores.gather(2, labels.clamp(min=0)[:, None].expand(B, A, -1)).mT
    aligned = own * shared**SHARP * inside
    # centres inside come before others also where they do not overlap at all
    nearest = (aligned + inside).topk(min(NEAREST, A), -1).indices
    taken = torch.zeros_like(inside).scatter_(-1, nearest, True) & inside
    winner = shared.masked_fill(~taken, -1).argmax(1)
    taken &= F.one_hot(winner, truth.shape[1]).mT.bool()
    aligned = aligned * taken
    best = (shared * taken).amax(-1, keepdim=True)
    weight = (aligned / aligned.amax(-1, keepdim=True).clamp(min=1e-12) * best).sum(1)
    return Assigned(
        F.one_hot(labels.gather(1, winner).clamp(min=0), K) * weight[..., None],
        truth.gather(1, winner[..., None].expand(-1, -1, 4)),
        weight,
    )
