"""Losses by name. Each returns the SUM over its terms: the training step divides by how many there are.

`mask` is true at the places that count; what stands elsewhere changes neither the value nor the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.choices import BinaryLoss, ClassificationLoss, MarginLoss, RegressionLoss, SegmentationLoss


def total(terms: Tensor, mask: Tensor | None = None) -> Tensor:
    """The sum of `terms` at the places where `mask` is true. A term outside may even be nan."""
    return terms.sum() if mask is None else torch.where(mask, terms, 0).sum()


def classification(
    scores: Tensor,
    labels: Tensor,
    loss: ClassificationLoss = "cross_entropy",
    *,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The named loss of scores (..., K) against class numbers (...); `weight` (K,) multiplies the terms of a class."""
    if loss == "focal":
        return focal(scores, labels, gamma, smoothing=smoothing, weight=weight, mask=mask)
    form = cross_entropy if loss == "cross_entropy" else binary_cross_entropy
    return form(scores, labels, smoothing=smoothing, weight=weight, mask=mask)


def probabilities(scores: Tensor, loss: ClassificationLoss = "cross_entropy") -> Tensor:
    """Scores (..., K) to float32 probabilities (..., K) that sum to 1.

    One-vs-rest sigmoids are divided by their sum; softmax of log-sigmoids is that same number without underflow.
    """
    scores = scores.float()
    return (F.logsigmoid(scores) if loss == "binary_cross_entropy" else scores).softmax(-1)


def cross_entropy(
    scores: Tensor, labels: Tensor, *, smoothing: float = 0.0, weight: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood of scores (..., K), in nats; `smoothing` spreads that share over all classes.

    Smoothing is Szegedy et al.'s (2015).
    """
    labels = labels if mask is None else torch.where(mask, labels, 0)  # padding may hold any number
    flat, target = scores.flatten(0, -2), labels.flatten()
    if mask is None:
        return F.cross_entropy(flat, target, weight, reduction="sum", label_smoothing=smoothing)
    return total(F.cross_entropy(flat, target, weight, reduction="none", label_smoothing=smoothing), mask.flatten())


def focal(
    scores: Tensor,
    labels: Tensor,
    gamma: float = 2.0,
    *,
    smoothing: float = 0.0,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Cross-entropy times (1 - p)^gamma, p the probability of the right class (Lin et al., 2017)."""
    logs = scores.log_softmax(-1)
    target = _one_hot(labels, scores, smoothing, mask)
    terms = -target * (-torch.expm1(logs)).clamp(min=0) ** gamma * logs
    return total((terms if weight is None else terms * weight).sum(-1), mask)


def quality_focal(scores: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    """Binary cross-entropy of scores (before the sigmoid) against targets of 0 to 1, times |target - p|^gamma, summed.

    The quality focal loss (Li et al., 2020, arXiv:2006.04388).
    """
    terms = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    return ((targets - scores.sigmoid()).abs() ** gamma * terms).sum()


def binary_cross_entropy(
    scores: Tensor, labels: Tensor, *, smoothing: float = 0.0, weight: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Each class against the rest: the sigmoid cross-entropies of the K scores, summed."""
    target = _one_hot(labels, scores, smoothing, mask)
    terms = F.binary_cross_entropy_with_logits(scores, target, reduction="none").sum(-1)
    if weight is not None:
        terms = terms * weight[labels if mask is None else torch.where(mask, labels, 0)]
    return total(terms, mask)


def multi_label(
    scores: Tensor,
    targets: Tensor,
    loss: BinaryLoss = "binary_cross_entropy",
    *,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    weight: Tensor | None = None,
) -> Tensor:
    """The named loss of scores (..., K) against targets of 0 and 1 (..., K), a term for each class, summed.

    Focal is the form that Lin et al. (2017) use themselves: every term times (1 - p)^gamma, p the probability of what
    is true. `weight` (K,) multiplies the part of the loss that is for a class being there; `smoothing` moves targets
    by half of it towards the middle.
    """
    targets = (targets * (1 - smoothing) + smoothing / 2).to(scores.dtype)
    there, absent = -targets * F.logsigmoid(scores), -(1 - targets) * F.logsigmoid(-scores)
    if loss == "focal":
        p = scores.sigmoid()
        there, absent = there * (1 - p) ** gamma, absent * p**gamma
    return ((there if weight is None else there * weight) + absent).sum()


def _one_hot(labels: Tensor, scores: Tensor, smoothing: float, mask: Tensor | None) -> Tensor:
    labels = labels if mask is None else torch.where(mask, labels, 0)
    target = torch.zeros_like(scores).scatter_(-1, labels.unsqueeze(-1), 1)
    return target * (1 - smoothing) + smoothing / scores.shape[-1] if smoothing else target


def margin(
    cosines: Tensor,
    labels: Tensor,
    loss: MarginLoss = "arcface",
    *,
    margin: float,
    scale: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of `scale` times cosines (..., K), where that of the right class (...) is made worse by a margin.

    arcface (Deng et al., 2019, eq. 3) adds the margin, in radians, to the angle: cos(t + m), and beyond pi - m, where
    that would rise again, cos(t) - m sin(m), as its authors' code does. cosface (Wang et al., 2018, eq. 4) takes it
    from the cosine.
    """
    labels = labels if mask is None else torch.where(mask, labels, 0)
    right = cosines.gather(-1, labels.unsqueeze(-1))
    if loss == "cosface":
        worse = right - margin
    else:
        sine = (1 - right.square()).clamp(min=1e-7).sqrt()  # at 0 its gradient has no end
        turned = right * math.cos(margin) - sine * math.sin(margin)
        worse = torch.where(right > -math.cos(margin), turned, right - margin * math.sin(margin))
    return cross_entropy(scale * cosines.scatter(-1, labels.unsqueeze(-1), worse), labels, mask=mask)


def regression(
    values: Tensor, targets: Tensor, loss: RegressionLoss = "mse", *, delta: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """The named loss of values against targets of one shape: squared, absolute, or Huber's (1964)."""
    if loss == "mse":
        return total((values - targets).square(), mask)
    if loss == "mae":
        return total((values - targets).abs(), mask)
    return total(F.huber_loss(values, targets, reduction="none", delta=delta), mask)


def pinball(values: Tensor, targets: Tensor, quantiles: Sequence[float], *, mask: Tensor | None = None) -> Tensor:
    """Quantile loss (Koenker and Bassett, 1978) of values (..., Q) against targets (...), averaged over the quantiles.

    One term for each target: max(q e, (q - 1) e), e the target less the value.
    """
    q = values.new_tensor(quantiles)
    error = targets.unsqueeze(-1) - values
    return total(torch.maximum(q * error, (q - 1) * error).mean(-1), mask)


def segmentation(
    scores: Tensor,
    labels: Tensor,
    loss: SegmentationLoss = "cross_entropy_dice",
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    mask: Tensor,
) -> Tensor:
    """The sum over pictures of the named loss of scores (B, K, H, W) against class numbers (B, H, W).

    Of each picture it is the mean over the pixels where `mask` is true, and 0 where none is.
    """
    total = scores.new_zeros((), dtype=torch.float32)
    if loss != "dice":
        labels = torch.where(mask, labels, 0)
        terms = F.cross_entropy(scores, labels, reduction="none").float()
        if loss == "focal":
            terms = (1 - (-terms).exp()) ** gamma * terms
        if weight is not None:
            terms = terms * weight[labels]
        counts = mask.sum((1, 2)).clamp(min=1)
        total = total + (torch.where(mask, terms, 0).sum((1, 2)) / counts).sum()
    return total + dice(scores, labels, mask) if loss in ("dice", "cross_entropy_dice") else total


def dice(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """The sum over pictures of 1 - Dice (Milletari et al., 2016, arXiv:1606.04797, without the squares).

    Of each picture it is the mean over the classes (K of scores (B, K, H, W)) that occur in it.
    """
    probabilities = scores.float().softmax(1) * mask[:, None]
    true = F.one_hot(torch.where(mask, labels, 0), scores.shape[1]).movedim(-1, 1) * mask[:, None]
    both, area = (probabilities * true).sum((2, 3)), true.sum((2, 3))
    there = area > 0
    shares = 1 - 2 * both / (probabilities.sum((2, 3)) + area).clamp(min=1e-6)
    return (torch.where(there, shares, 0).sum(1) / there.sum(1).clamp(min=1)).sum()
