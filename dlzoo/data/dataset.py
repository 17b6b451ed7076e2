"""The contract of a dataset, and the view of it that a split is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

from dlzoo.data.skipped import Skipped
from dlzoo.errors import DataError

Sample = dict[str, Any]
"""One item as a dataset gives it: decoded, not yet encoded. The keys are a fixed list: docs/samples.md."""


class Pieces(Protocol):
    """What a loader needs: lazy, indexable samples, and where each is from."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def source(self, index: int) -> str: ...


class Dataset(ABC):
    """A source of samples: one file of this package for each kind, registered by name."""

    gives: tuple[str, ...]
    """The keys of its samples; a property where the arguments decide."""
    along: str | None = None
    """'time' or 'text' where a split cuts inside the samples (one long text, a few series), not between them."""
    decodes: bool = False
    """Whether each sample is a file to decode: where there are many, that is done as they are wanted, by workers."""
    least: int | None = None
    """Pixels that the sides of a picture must keep: a decoder that can may give a smaller one than is in the file."""
    skipped: Skipped | None = None
    """Where it is set, before anything is read: what cannot be read is left out, and counted here."""

    @cached_property
    def notes(self) -> list[str]:
        """What a user should know and could not see: files passed over, columns that are no features, duplicates."""
        return []

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are, over all splits."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, decoded. Raises DataError that names the file (and row) where it cannot be."""

    @abstractmethod
    def column(self, key: str) -> list[Any]:
        """One key of every sample, without decoding pictures or sound."""

    @abstractmethod
    def source(self, index: int) -> str:
        """Where sample `index` is from: `file` or `file:row`, as a user would look it up."""

    def splits(self) -> dict[str, list[int]]:
        """The splits that the data itself names, of train, validation and test; what is missing is cut from train."""
        return {"train": list(range(len(self)))}

    def lengths(self) -> list[int]:
        """Where `along` is set: the length of every sample, in the steps or characters that a split counts."""
        raise NotImplementedError

    def contents(self) -> Sequence[Hashable] | None:
        """A value for each sample, the same where the contents are the same: such samples stay together in one split.

        None where that would need decoding.
        """
        return None

    def stream(self) -> Iterator[Sample]:
        """Every sample in order, each with its `source`, in memory that does not grow with their number."""
        for i in range(len(self)):
            try:
                yield {**self[i], "source": self.source(i)}
            except DataError as error:
                self.lose(error, i)

    def lose(self, error: DataError, index: int | None = None) -> None:
        """Leave a sample out (a row that has become none, without an index); raise `error` unless those are skipped."""
        if self.skipped is None:
            raise error
        self.skipped.add(error, index)

    def readable(self, indices: Iterable[int]) -> list[int]:
        """Those of the samples that are not left out."""
        return [i for i in indices if i not in self.skipped.indices] if self.skipped else list(indices)

    def headings(self) -> Sequence[str]:
        """Names that `column` takes besides the keys of samples: the columns of a file of rows."""
        return ()

    def arguments(self) -> dict[str, Any]:
        """Arguments that were inferred from the data (the types of columns): written into the run's config."""
        return {}

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the data does."""


class Subset:
    """Some samples of a dataset: one split. Where it is cut along its samples, `spans` has a (start, stop) for each."""

    def __init__(self, dataset: Dataset, indices: list[int], spans: list[tuple[int, int]] | None = None):
        self.dataset = dataset
        self.indices = indices
        self.spans = spans

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    @property
    def decodes(self) -> bool:
        """Whether each sample is a file to decode."""
        return self.dataset.decodes

    def some(self, count: int) -> Iterator[Sample]:
        """`count` samples, evenly spread, or all; those that cannot be read are passed over where they are skipped."""
        for i in sorted({i * len(self) // count for i in range(count)}) if len(self) > count else range(len(self)):
            try:
                yield self[i]
            except DataError:
                if self.dataset.skipped is None:
                    raise

    def column(self, key: str) -> list[Any]:
        """One key of every sample of the split."""
        values = self.dataset.column(key)
        return [values[i] for i in self.indices]

    def source(self, index: int) -> str:
        """Where sample `index` of the split is from."""
        return self.dataset.source(self.indices[index])
