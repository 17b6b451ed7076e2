"""The order of training, the cache, workers: the same batches wherever they come from."""

import multiprocessing
from random import Random

import pytest
import torch

from dlzoo.data import packed
from dlzoo.engine import cache, encoded, loader
from dlzoo.engine.loader import Loader, Scored, batches
from dlzoo.engine.order import Order, micro_batches
from dlzoo.errors import DataError
from dlzoo.task import Batch


class Numbers:
    """Pieces 0 to n-1: ragged and dense tensors from the index; some may be bad."""

    def __init__(self, count: int, bad: int | None = None):
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.bad:
            raise DataError("the picture is broken")
        return {"number": index}

    def source(self, index):
        return f"file.csv:{index + 2}"


class Count:
    """A task as far as a loader sees it."""

    stochastic = False

    def __init__(self, draws=False):
        self.draws, self.ragged = draws, ("tokens",)

    def encode(self, sample, rng: Random | None = None):
        number = sample["number"]
        extra = rng.random() if rng else 0.0
        return {"tokens": torch.arange(number % 7 + 1), "value": torch.tensor([number, extra])}

    def encode_many(self, samples):
        from dlzoo.task import columns

        return columns([self.encode(sample) for sample in samples], self.ragged)

    def collate(self, columns):
        tokens = torch.nn.utils.rnn.pad_sequence(columns["tokens"], batch_first=True)
        return Batch({"x": tokens, "value": columns["value"]}, {}, count=len(tokens))


def run(task, workers=0, start=0, stop=12, count=37, **more):
    made = Loader(task, Numbers(count), batch_size=8, seed=3, workers=workers, **more)
    return [[(b.indices, b.inputs["x"], b.inputs["value"]) for b in window] for window in made.windows(start, stop)]


def same(one, other):
    flat = [[item for window in side for batch in window for item in batch] for side in (one, other)]
    return len(flat[0]) == len(flat[1]) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(*flat, strict=True)
    )


@pytest.mark.parametrize("lengths", [None, torch.arange(37) % 5])
def test_an_epoch_has_every_piece_once_and_another_order_each_time(lengths):
    order = Order(37, 8, seed=0, lengths=lengths)
    epochs = [torch.cat(order.epoch(epoch)).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[1] == torch.cat(Order(37, 8, 0, lengths).epoch(1)).tolist()
    assert epochs[1] != torch.cat(Order(37, 8, 1, lengths).epoch(1)).tolist()


@pytest.mark.parametrize(("count", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (1, [1]), (5, [5])])
def test_a_last_window_of_one_joins_the_one_before(count, sizes):
    assert [len(window) for window in Order(count, 8, 0).epoch(0)] == sizes


def test_bucketing_puts_like_lengths_together():
    lengths = torch.randint(1, 100, (4000,), generator=torch.Generator().manual_seed(0))
    spread = [int(lengths[w].max() - lengths[w].min()) for w in Order(4000, 20, 0, lengths).epoch(0)]
    assert sum(spread) / len(spread) < 5


@pytest.mark.parametrize("length", range(1, 18))
@pytest.mark.parametrize(("accumulate", "world"), [(1, 1), (4, 1), (1, 3), (2, 2)])
def test_micro_batches_of_all_processes_are_the_window(length, accumulate, world):
    window = torch.arange(length)
    parts = [micro_batches(window, 16, accumulate, rank, world) for rank in range(world)]
    assert sorted(torch.cat([part for rank in parts for part in rank]).tolist()) == window.tolist()
    assert all(len(rank) <= accumulate and all(len(part) for part in rank) for rank in parts)


def test_a_start_in_mid_epoch_goes_on_with_the_same_batches():
    for task in (Count(), Count(draws=True)):
        assert same(run(task)[4:], run(task, start=4))


def test_workers_change_nothing():
    task = Count(draws=True)
    alone = run(task, accumulate=2)
    assert same(alone, run(task, accumulate=2, workers=1)) and same(alone, run(task, accumulate=2, workers=2))
    assert same(alone[7:], run(task, accumulate=2, workers=2, start=7))
    assert not same(alone, run(Count(), accumulate=2))


def test_drawing_differs_by_epoch_and_piece_alone():
    values = {}
    for epoch, windows in enumerate((run(Count(draws=True), 0, 0, 5), run(Count(draws=True), 0, 5, 10))):
        for window in windows:
            for indices, _, value in window:
                values |= {(epoch, i): float(v[1]) for i, v in zip(indices, value, strict=True)}
    assert len(set(values.values())) == 74


def test_the_cache_gives_what_encoding_gives(monkeypatch):
    in_memory = run(Count())
    monkeypatch.setattr(packed, "IN_MEMORY", 100)
    assert same(in_memory, run(Count()))
    kept = cache.Kept(Count(), Numbers(37))
    assert kept.gather([5, 3], 0)["value"].tolist() == [[5, 0], [3, 0]]
    assert [t.tolist() for t in kept.gather([1, 8], 0)["tokens"]] == [[0, 1], [0, 1]]
    assert kept.lengths().tolist() == [i % 7 + 1 for i in range(37)]


def test_large_pieces_are_encoded_few_at_a_time(monkeypatch):
    portions, encode_many = [], cache.encode_many

    def counted(task, pieces, indices):
        portions.append(len(indices))
        return encode_many(task, pieces, indices)

    monkeypatch.setattr(cache, "encode_many", counted)
    whole = cache.Kept(Count(), Numbers(37)).gather(range(37), 0)
    monkeypatch.setattr(cache, "AT_ONCE", 100)
    parts = cache.Kept(Count(), Numbers(37)).gather(range(37), 0)
    assert portions[0] == 37 and len(portions) > 3 and max(portions[1:]) <= 6
    assert torch.equal(whole["value"], parts["value"])


class Files(Numbers):
    """Pieces that are files to decode; those that were, in this process, are counted."""

    decodes = True

    def __init__(self, count, bad=None):
        super().__init__(count, bad)
        self.opened = []

    def __getitem__(self, index):
        self.opened.append(index)
        return super().__getitem__(index)


class Dense(Count):
    """A task whose examples are all alike."""

    def __init__(self):
        super().__init__()
        self.ragged = ()

    def encode(self, sample, rng=None):
        return {"value": torch.tensor([sample["number"], 0.0])}

    def collate(self, columns):
        return Batch({"x": columns["value"], "value": columns["value"]}, {}, count=len(columns["value"]))


def grown(files, workers=0, start=0, stop=12):
    made = Loader(Dense(), files, batch_size=8, seed=3, workers=workers)
    windows = [[(b.indices, b.inputs["x"], b.inputs["value"]) for b in window] for window in made.windows(start, stop)]
    return windows, made


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("place", ["memory", "file", "nowhere"])
def test_many_files_are_decoded_as_they_are_wanted_and_once(place, start, monkeypatch):
    eager, _ = grown(Numbers(37), start=start)
    monkeypatch.setattr(cache, "FEW", 10)
    monkeypatch.setattr(packed, "IN_MEMORY", 10**6 if place == "memory" else 100)
    if place == "nowhere":
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    for workers in (0, 1, 2):
        windows, made = grown(files := Files(37), workers, start)
        assert same(windows, eager)
        if place == "nowhere":
            assert isinstance(made.source, encoded.Fresh)
        else:
            assert made.source.whole and len(files.opened) <= (
                1 if workers else 38
            )  # the first one twice, for its size
    assert not multiprocessing.active_children()


def test_the_first_batch_does_not_wait_for_the_last_file(monkeypatch):
    monkeypatch.setattr(cache, "FEW", 10)
    made = Loader(Dense(), files := Files(37), batch_size=8, seed=3)
    next(made.windows(0, 5))
    assert len(files.opened) == 9


def test_a_damaged_file_is_named_when_its_batch_comes(monkeypatch):
    monkeypatch.setattr(cache, "FEW", 10)
    for workers in (0, 2):
        with pytest.raises(DataError, match="^file.csv:13: the picture is broken$"):
            for _ in Loader(Dense(), Files(37, bad=11), batch_size=8, workers=workers).windows(0, 5):
                pass


def test_a_split_that_is_scored_again_is_decoded_once_in_workers_too(monkeypatch):
    monkeypatch.setattr(cache, "FEW", 10)
    seen = []
    for workers in (0, 2):
        held = Scored(Dense(), files := Files(37), 8, workers=workers)
        seen += [[(batch.indices, batch.inputs["x"].tolist()) for batch in held] for _ in range(2)]
        assert held.source.whole and len(files.opened) == (1 if workers else 38)
    assert seen[0] == seen[1] == seen[2] == seen[3] and sum(len(indices) for indices, _ in seen[0]) == 37


def test_evaluation_takes_every_piece_once_over_the_processes():
    class Two:
        world = 2

    seen = []
    for rank in range(2):
        processes = Two()
        processes.rank = rank
        seen += [i for batch in Scored(Count(), Numbers(11), 4, processes) for i in batch.indices]
    assert sorted(seen) == list(range(11))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_evaluated_once_is_padded_little_and_in_order_but_for_a_few_batches(workers, monkeypatch):
    monkeypatch.setattr(loader, "SORTED", 3)
    found = list(batches(Count(), Numbers(37), 4, workers))
    assert [len(batch.indices) for batch in found] == [4] * 9 + [1]
    assert [sorted(i // 12 for i in batch.indices) for batch in found] == [
        [n // 3] * len(found[n].indices) for n in range(10)
    ]
    for batch in found:
        sizes = [i % 7 + 1 for i in batch.indices]
        assert batch.inputs["x"].shape[1] == max(sizes) and max(sizes) - min(sizes) <= 3
        assert batch.inputs["value"][:, 0].tolist() == batch.indices
    assert [batch.indices for batch in batches(Dense(), Numbers(11), 4, workers)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10],
    ]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("draws", [False, True])
def test_a_bad_piece_is_named_with_its_place(draws, workers):
    with pytest.raises(DataError, match=r"^file.csv:13: the picture is broken$"):
        for _ in Loader(Count(draws), Numbers(37, bad=11), batch_size=8, workers=workers).windows(0, 5):
            pass


def test_examples_that_do_not_stand_in_one_batch_are_named():
    class Wide(Count):
        def encode(self, sample, rng=None):
            example = super().encode(sample, rng)
            return example if sample["number"] != 20 else {**example, "value": torch.zeros(3)}

    with pytest.raises(DataError, match=r"file.csv:22: value is \(3,\)"):
        Loader(Wide(), Numbers(37), batch_size=8)


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="empty"):
        Loader(Count(), Numbers(0), batch_size=8)
