"""Losses by name. Each returns the SUM over its terms: the training step divides by how many there are.

`mask` is true at the places that count; what stands elsewhere changes neither the value nor the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.choices import BinaryLoss, ClassificationLoss, RegressionLoss


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
