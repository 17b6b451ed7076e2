"""The contract between data, model and engine: Batch, Task, Network.

Shapes are written B batch, T steps, D features, C channels, H W, F input features, K classes, V vocabulary.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlzoo.data.dataset import Dataset, Pieces, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.metrics.metric import Answer, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

Example = dict[str, Tensor]
"""One encoded sample."""
Columns = dict[str, Any]
"""Several examples, key by key: a Tensor (B, ...) for most keys, a list of B tensors for the keys in `Task.ragged`."""


@dataclass
class Batch:
    """What one call of the model, of the loss and of `decode` needs."""

    inputs: dict[str, Any]
    """Keyword arguments of the model; the main one is `x`."""
    targets: dict[str, Any]
    """What the loss and `truth` read; empty for samples without an answer."""
    count: int
    """Terms that the loss sums over: samples, or tokens that are not padding."""
    indices: list[int] = field(default_factory=list)
    """Which pieces these are, set by the loader: `pieces.source(i)` says where each came from."""

    def to(self, device: torch.device) -> Batch:
        """The same batch with every tensor on `device`."""
        if device.type == "cpu":
            return self
        return replace(self, inputs=_move(self.inputs, device), targets=_move(self.targets, device))


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):  # the copy from pinned memory does not make the host wait for the device
        value = value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    return [_move(item, device) for item in value] if isinstance(value, list) else value


def columns(examples: list[Example], ragged: tuple[str, ...] = ()) -> Columns:
    """Examples joined key by key: stacked, but for the `ragged` keys, which stay lists."""
    keys = examples[0]
    return {
        key: [e[key] for e in examples] if key in ragged else torch.stack([e[key] for e in examples]) for key in keys
    }


class Task(ABC):
    """What the numbers mean: samples to tensors, features to outputs, outputs to a loss and to answers.

    A task knows nothing of devices, optimizers, loaders, processes or run folders.
    """

    needs: tuple[str, ...]
    """Keys that a sample must have for training and evaluation."""
    inputs: tuple[str, ...] = ("x",)
    """Names of the model's inputs that a model must take; optional ones (mask) may be in `Batch.inputs` besides."""
    accepts: ClassVar[tuple[str, ...]]
    """Kinds of features that the head can take, the best first."""
    causal: bool | None = None
    """True where the model must not see the future, False where it must see everything, None where either will do."""
    monitor: str
    """The metric that picks the best checkpoint; '-' in front where less is better."""
    generates: bool = False
    """`evaluate` and the test score `answer`, not `decode`; so does a validation in training, unless `written` says
    otherwise."""
    strangers: bool = False
    """The classes of other splits may be new: they are compared, not told apart (faces)."""
    writes: bool = False
    """`answer` writes a text, place by place: `predict` gives it a batch at a time, not many to sort by length."""
    shown: tuple[str, ...] = ()
    """Options of `answer` that change what is drawn of an answer, not what it says."""
    draws_alone: bool = False
    """`draw` needs the answer and no sample, which may be one row of many in a file."""
    draws: bool = False
    """`encode` draws from its rng: it is called afresh in every epoch. Where it does not, its result is kept."""
    stochastic: bool = False
    """The question itself is random (which tokens are hidden): `encode` always gets an rng, in an evaluation that of
    the piece's index, so that the score of a split is always that of the same questions.
    """
    ragged: tuple[str, ...] = ()
    """Keys of an example whose tensors differ in length."""
    kept: int = 5000
    """Answers of an evaluation that are held for `plot`, at most."""
    baseline: str = ""
    """The name of the trivial answer that `guess` gives, or '' where there is none."""

    notes: Sequence[str] = ()
    """What `fit` found that a user should know (a column that never varies and is left out), one sentence each."""

    def fit(self, data: Subset) -> None:
        """Learn classes, vocabulary or scales from the training split alone, through `data.column`, not by decoding."""

    def ready(self, dataset: Dataset) -> None:
        """Tell a dataset what it may leave out, now that the sizes are known; called before its pieces are read."""

    def pieces(self, data: Subset, split: str) -> Pieces:
        """What is encoded, batched and scored in a split: the samples themselves, or windows of long ones.

        Pieces that can hand out a batch at once have `gather(indices) -> Columns`, equal to encoding and stacking.
        """
        return data

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Sizes that a model's parameters of the same names are filled with: in_channels, image_size, in_features,
        vocab_size, context, categories.
        """

    requires: tuple[str, ...] = ()
    """Facts that a model must take: one that lacks them is refused, never fed silently (say, `categories`)."""

    @abstractmethod
    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """Tensors from a sample. The keys of the answer are left out where the sample has no answer (predict).

        Raises DataError for a sample that cannot be encoded.
        """

    def encode_many(self, samples: list[Sample]) -> Columns:
        """`columns` of the examples of several samples, without an rng; overridden where that is faster all at once.

        Raises DataError if any one cannot be encoded.
        """
        return columns([self.encode(sample) for sample in samples], self.ragged)

    @abstractmethod
    def collate(self, columns: Columns) -> Batch:
        """A batch from the columns of several examples; may pad, may not cut or mix."""

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Random changes to a whole training batch, on the device. Draws from `rng` only."""
        return batch

    @abstractmethod
    def head(self, backbone: nn.Module) -> nn.Module:
        """A module from features (and any inputs that its forward names) to outputs."""

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch) -> Tensor | None:
        """The SUM of the loss over the `batch.count` terms, a scalar; None in an evaluation that has none."""

    def scores(self, loss: float) -> dict[str, float]:
        """Metrics that are a function of the mean loss alone (perplexity)."""
        return {}

    @abstractmethod
    def decode(self, outputs: Any, batch: Batch) -> list[Answer]:
        """Outputs as answers that a person can read: JSON-able dicts, one a piece. Reads no targets."""

    @abstractmethod
    def truth(self, batch: Batch) -> list[Answer]:
        """The perfect answers, in the form of `decode`."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """Fresh metrics."""

    def written(self) -> list[Metric]:
        """Fresh metrics of `answer`, where that takes too long to be asked in every validation of a training.

        A validation then does with `metrics`, of one forward pass, and `evaluate` and the test have both.
        """
        return []

    def update(self, metrics: list[Metric], outputs: Any, batch: Batch) -> None:
        """Feed the metrics with a batch. Overridden, to the same numbers, where a dict for each sample is slow."""
        answers, truths = self.decode(outputs, batch), self.truth(batch)
        for metric in metrics:
            metric.update(answers, truths)

    def guess(self, batch: Batch) -> list[Answer]:
        """The trivial answers (majority class, mean, last season) from what `fit` saw: the floor beside every score."""
        raise NotImplementedError(f"{type(self).__name__} names a baseline but has no guess")

    def answer(self, model: nn.Module, batch: Batch) -> list[Answer]:
        """Answers for a batch: without options those of `decode`, unless it generates. Its typed keyword arguments are
        options of `dlzoo predict` and `dlzoo evaluate`.
        """
        return self.decode(model(**batch.inputs), batch)

    def scored(self, metrics: dict[str, Any]) -> None:
        """What the weights that were just loaded reached on the validation split (null where undefined), by name."""

    def unknown(self, columns: Columns) -> dict[str, int]:
        """By name of a user's column, how many values are encoded as unknown, as the training split lacked them."""
        return {}

    @abstractmethod
    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        """The samples in a user's file (a Path), or in an argument or a line of stdin (a str), one by one.

        Each has `source`, saying where it is from (`rows.csv:17`). A bad row comes as a DataError, so that the
        rest goes on; a bad file raises one.
        """

    def draw(self, sample: Sample, answer: Answer) -> Mapping[str, Tensor | Image.Image]:
        """Pictures of an answer by what they show, uint8 (1 or 3, H, W) or Pillow's: `predict -o FOLDER` writes them.

        Tensors in an answer are for this and for metrics; no file of answers has them.
        """
        return {}

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        """Figures for the run folder, by name; `answers` and `truths` are the first `kept` of the split."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What `fit` learned: plain values that go through JSON unchanged."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""


class Network(nn.Module):
    """head(backbone(inputs)): each of the two gets the inputs that its forward names; a backbone's mask is shortened
    by its stride before the head gets it.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self._takes = _names(backbone)
        self._head_takes = _names(head)

    def train(self, mode: bool = True) -> Network:
        """torch's, but that batch norms whose weights are frozen keep the statistics that go with them."""
        super().train(mode)
        for part in self.modules():
            own = list(part.parameters(recurse=False))
            if isinstance(part, _BatchNorm) and own and not any(weight.requires_grad for weight in own):
                part.eval()
        return self

    def forward(self, **inputs: Any) -> Any:
        features = self.backbone(**{name: value for name, value in inputs.items() if name in self._takes})
        extra = {name: value for name, value in inputs.items() if name in self._head_takes}
        if "mask" in extra and (stride := self.backbone.features.stride) != 1:
            extra["mask"] = extra["mask"][:, ::stride]
        return self.head(features, **extra)


def _names(module: nn.Module) -> set[str]:
    """The inputs that a module's forward names, but for a head's first, which is the features."""
    return set(inspect.signature(module.forward).parameters) - {"features"}
