"""Losses are sums, equal those of torch and torchvision, and what is masked changes nothing."""

import pytest
import torch
from torch.nn import functional as F

from dlzoo import losses
from dlzoo.choices import ClassificationLoss, RegressionLoss

KINDS = ClassificationLoss.__args__


@pytest.fixture
def scores():
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)


LABELS = torch.tensor([0, 4, 2, 2, 1, 3, 0])
WEIGHT = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_loss_is_the_sum_of_its_singles(scores, kind, smoothing, weight):
    whole = losses.classification(scores, LABELS, kind, smoothing=smoothing, weight=weight)
    singles = [
        losses.classification(s[None], y[None], kind, smoothing=smoothing, weight=weight)
        for s, y in zip(scores, LABELS, strict=True)
    ]
    assert whole.ndim == 0
    torch.testing.assert_close(whole, torch.stack(singles).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_masked_places_change_neither_loss_nor_gradient(scores, kind):
    mask = torch.tensor([1, 1, 0, 1, 1, 1, 0]).bool()
    bad = torch.where(mask[:, None], scores.detach(), torch.inf).requires_grad_()
    labels = torch.where(mask, LABELS, -100)
    loss = losses.classification(scores, labels, kind, weight=WEIGHT, mask=mask)
    torch.testing.assert_close(loss, losses.classification(scores[mask], LABELS[mask], kind, weight=WEIGHT))
    loss.backward()
    assert not scores.grad[~mask].any()
    assert losses.classification(bad, labels, kind, mask=mask).isfinite()


def test_focal_with_gamma_0_is_cross_entropy(scores):
    torch.testing.assert_close(losses.focal(scores, LABELS, 0.0), F.cross_entropy(scores, LABELS, reduction="sum"))


def test_focal_of_two_classes_is_torchvisions():
    from torchvision.ops import sigmoid_focal_loss

    logit = torch.randn(50, generator=torch.Generator().manual_seed(1))
    label = torch.arange(50) % 2
    ours = losses.focal(torch.stack([torch.zeros(50), logit], 1), label, 2.0)
    torch.testing.assert_close(ours, sigmoid_focal_loss(logit, label.float(), alpha=-1, gamma=2.0, reduction="sum"))


def test_focal_has_a_gradient_where_it_is_certain():
    scores = torch.tensor([[40.0, -40.0]], requires_grad=True)
    losses.focal(scores, torch.tensor([0]), 0.5).backward()
    assert scores.grad.isfinite().all()


def test_binary_cross_entropy_is_torchs(scores):
    target = F.one_hot(LABELS, 5).float()
    theirs = F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    torch.testing.assert_close(losses.binary_cross_entropy(scores, LABELS), theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_one_however_far_the_scores(kind):
    p = losses.probabilities(torch.tensor([[-200.0, -300.0, -210.0], [5.0, 0.0, 100.0]]), kind)
    torch.testing.assert_close(p.sum(1), torch.ones(2))
    assert p.argmax(1).tolist() == [0, 2]


@pytest.mark.parametrize("kind", RegressionLoss.__args__)
def test_regression_losses_are_torchs(kind):
    g = torch.Generator().manual_seed(2)
    x, y = torch.randn(3, 4, generator=g), torch.randn(3, 4, generator=g)
    theirs = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}[kind](x, y, reduction="sum")
    torch.testing.assert_close(losses.regression(x, y, kind), theirs)
    mask = x > 0
    torch.testing.assert_close(losses.regression(x, y, kind, mask=mask), losses.regression(x[mask], y[mask], kind))


def test_pinball_is_scikit_learns():
    from sklearn.metrics import mean_pinball_loss

    g = torch.Generator().manual_seed(3)
    truth, values = torch.randn(40, generator=g), torch.randn(40, 3, generator=g)
    q = [0.1, 0.5, 0.9]
    theirs = sum(mean_pinball_loss(truth, values[:, i], alpha=a) for i, a in enumerate(q)) / 3 * 40
    assert losses.pinball(values, truth, q).item() == pytest.approx(theirs, rel=1e-5)
