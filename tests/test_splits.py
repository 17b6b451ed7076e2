"""What holds of every division of data."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlzoo.config import Split
from dlzoo.data.dataset import Dataset
from dlzoo.data.splits import divide
from dlzoo.errors import ConfigError, DataError


class Made(Dataset):
    """Samples from lists."""

    def __init__(self, labels=None, groups=None, texts=None, lengths=None, given=None, size=None, tags=None):
        self.data = {"label": labels, "group": groups, "text": texts, "tags": tags}
        self.gives = tuple(key for key in ("label", "text", "tags") if self.data[key] is not None) or ("text",)
        self.along = "time" if lengths else None
        self._lengths, self._given = lengths, given
        self._size = size or len(next(filter(None, [labels, texts, groups, lengths, tags])))

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        return {key: self.data[key][index] for key in self.gives}

    def column(self, key):
        return self.data[key]

    def source(self, index):
        return f"made:{index}"

    def splits(self):
        return self._given or super().splits()

    def lengths(self):
        return self._lengths

    def contents(self):
        return self.data["text"]

    def fingerprint(self):
        return ""


def parts(splits):
    return {name: subset.indices for name, subset in splits.items()}


def of(values, indices):
    return [values[i] for i in indices]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    hold_out=st.sampled_from([0.1, 0.3, 2]),
    test=st.sampled_from([0, 0.2, 0.25, 3]),
    seed=st.integers(0, 3),
)
def test_splits_are_disjoint_whole_and_of_the_size_asked(counts, hold_out, test, seed):
    labels = [f"class {k}" for k, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    splits = parts(divide(Made(labels), Split(hold_out=hold_out, test=test, split_seed=seed)))
    together = [i for indices in splits.values() for i in indices]
    assert sorted(together) == list(range(len(labels)))
    assert ("test" in splits) == (test > 0)
    asked = max(1, round(test * len(labels)) if test < 1 else test) if test else 0
    assert asked - len(counts) <= len(splits.get("test", [])) <= asked
    assert set(of(labels, splits["train"])) == set(labels)


def test_a_stratified_split_keeps_the_shares_of_the_classes():
    labels = ["rare"] * 20 + ["common"] * 180
    splits = parts(divide(Made(labels), Split(test=0.2, hold_out=0.25)))
    assert of(labels, splits["test"]).count("rare") == 4 and len(splits["test"]) == 40
    assert of(labels, splits["validation"]).count("rare") == 4 and len(splits["validation"]) == 40


@pytest.mark.parametrize("groups", [None, [n // 2 for n in range(40)]])
@pytest.mark.parametrize("seed", range(8))
def test_every_tag_is_in_train_also_one_that_a_single_sample_has(groups, seed):
    tags = [["noun", "verb"][: 1 + n % 2] + ([f"rare {n}"] if n % 7 == 0 else []) for n in range(40)]
    data = Made(tags=tags, groups=groups)
    splits = parts(divide(data, Split(test=0.25, hold_out=0.2, split_seed=seed, group=groups and "group")))
    assert {name: len(indices) for name, indices in splits.items()} == {"train": 24, "validation": 6, "test": 10}
    assert {tag for own in of(tags, splits["train"]) for tag in own} == {tag for own in tags for tag in own}


def test_the_same_seed_gives_the_same_split_and_another_one_another():
    labels = ["a", "b"] * 50
    first, again, other = (parts(divide(Made(labels), Split(split_seed=seed))) for seed in (0, 0, 1))
    assert first == again != other


def test_the_split_does_not_depend_on_the_order_of_rows_whose_contents_are_known():
    texts = [f"text {i}" for i in range(60)]
    shuffled = random.Random(0).sample(texts, len(texts))
    found = [
        {name: set(of(rows, indices)) for name, indices in parts(divide(Made(texts=rows), Split())).items()}
        for rows in (texts, shuffled)
    ]
    assert found[0] == found[1]


def test_equal_contents_stay_in_one_split():
    texts = [f"text {i // 3}" for i in range(90)]
    data = Made(labels=["a" if i // 3 % 2 else "b" for i in range(90)], texts=texts)
    splits = parts(divide(data, Split(test=0.2)))
    for text in set(texts):
        assert sum(text in of(texts, indices) for indices in splits.values()) == 1
    assert "60 of 90 samples repeat" in data.notes[0]


def test_groups_stay_in_one_split():
    groups = [i // 7 for i in range(140)]
    splits = parts(divide(Made(labels=["a", "b"] * 70, groups=groups), Split(test=0.2, group="group")))
    for group in set(groups):
        assert sum(group in of(groups, indices) for indices in splits.values()) == 1
    assert len(splits["test"]) == 28


def test_a_split_by_time_ends_with_the_test_split():
    splits = parts(divide(Made(labels=["a", "b"] * 50), Split(split="time", test=10, hold_out=20)))
    assert splits == {"train": list(range(70)), "validation": list(range(70, 90)), "test": list(range(90, 100))}


def test_folds_are_disjoint_together_everything_and_stratified():
    labels = ["a"] * 30 + ["b"] * 70
    tests = [parts(divide(Made(labels), Split(folds=5, fold=k)))["test"] for k in range(5)]
    assert sorted(i for test in tests for i in test) == list(range(100))
    assert [of(labels, test).count("a") for test in tests] == [6] * 5


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.integers(0, 6), min_size=12, max_size=40), seed=st.integers(0, 20))
def test_folds_leave_every_tag_and_every_class_in_train(groups, seed):
    tags = [["a", *("bcdefg"[: group // 2])] for group in groups]
    for data in (Made(tags=tags), Made(labels=[*map(str, groups), "0", "1", "0", "1"])):
        tested = []
        for fold in range(3):
            found = parts(divide(data, Split(folds=3, fold=fold, hold_out=0.1, split_seed=seed)))
            names = [{name} if isinstance(name, str) else set(name) for name in data.column(data.gives[0])]
            assert set().union(*of(names, found["train"])) == set().union(*names)
            tested += found["test"]
            assert sorted(sum(found.values(), [])) == list(range(len(data)))
        held = len(data) - len(set(tested))
        assert len(tested) == len(set(tested)) and held <= len(set().union(*names))


def test_folds_keep_groups_together():
    groups = [i // 4 for i in range(100)]
    tests = [
        parts(divide(Made(labels=["a", "b"] * 50, groups=groups), Split(folds=5, fold=k, group="group")))["test"]
        for k in range(5)
    ]
    assert sorted(i for test in tests for i in test) == list(range(100))
    assert all(len(set(of(groups, test))) * 4 == len(test) for test in tests)


def test_splits_that_the_data_names_are_kept():
    data = Made(labels=["a", "b"] * 50, given={"train": list(range(60)), "test": list(range(60, 100))})
    splits = parts(divide(data, Split(hold_out=0.1)))
    assert splits["test"] == list(range(60, 100))
    assert sorted(splits["train"] + splits["validation"]) == list(range(60)) and len(splits["validation"]) == 6


def test_series_are_cut_by_time_and_every_split_has_them_all():
    splits = divide(Made(lengths=[100, 50]), Split(test=0.2, hold_out=10))
    assert splits["train"].spans == [(0, 70), (0, 30)]
    assert splits["validation"].spans == [(70, 80), (30, 40)]
    assert splits["test"].spans == [(80, 100), (40, 50)]
    assert all(subset.indices == [0, 1] for subset in splits.values())


def test_an_equal_sample_in_a_given_test_split_is_reported():
    data = Made(texts=["a", "b", "c", "a"], given={"train": [0, 1, 2], "test": [3]})
    divide(data, Split(hold_out=0))
    assert data.notes == ["1 of 1 samples of test are also in train"]


@pytest.mark.parametrize(
    ("data", "split", "error", "says"),
    [
        (Made(["a", "b"] * 5), Split(test=10), DataError, "would leave nothing of 10 samples"),
        (Made(["a", "b"] * 5), Split(test=-0.1), ConfigError, "negative"),
        (Made(["a"] * 10), Split(), DataError, "all 8 samples of train are of one class, 'a'"),
        (
            Made(["a", "b", "c"], given={"train": [0, 1], "test": [2]}),
            Split(hold_out=0),
            DataError,
            "'c' is in the test split (1 samples, the first made:2)",
        ),
        (Made(["a", "b"], given={"test": [0, 1]}), Split(), DataError, "no train split"),
        (Made(["a", "b"], given={"train": [0, 1], "test": []}), Split(hold_out=0), DataError, "test split is empty"),
        (Made(["a", "b"] * 5), Split(split="group"), ConfigError, "needs data.group"),
        (Made(texts=["a", "b"] * 5), Split(split="stratified"), ConfigError, "needs labels"),
        (Made(["a", "b"] * 5), Split(fold=1), ConfigError, "not data.folds"),
        (Made(["a", "b"] * 5), Split(folds=5, fold=5), ConfigError, "0 to 4"),
        (Made(["a", "b"] * 5), Split(folds=1, fold=0), ConfigError, "too few"),
        (Made(["a", "b"] * 5), Split(folds=11, fold=0), DataError, "11 folds of 10 samples"),
        (Made(lengths=[100]), Split(folds=5, fold=0), ConfigError, "cut by time"),
        (Made(lengths=[100, 5]), Split(test=10), DataError, "5 steps of made:1"),
    ],
)
def test_what_cannot_be_divided_is_refused(data, split, error, says):
    with pytest.raises(error) as raised:
        divide(data, split, data.data["label"])
    assert says in str(raised.value)
