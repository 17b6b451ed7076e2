"""Splits: what the data names is kept, what is missing is cut from train; equal contents and groups stay together."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from dlzoo.config import Split
from dlzoo.data.dataset import Dataset, Subset
from dlzoo.errors import ConfigError, DataError, first_few, printable

FEW = 20
"""Different values up to which a target of numbers is stratified like one of classes."""
LABELLED = ("tags", "labels")
"""Keys of several names for each sample."""
Unit = list[int]
"""Samples that stay together: one, or those of a group, or those with equal contents."""


def divide(
    dataset: Dataset, split: Split, labels: list[Any] | None = None, strangers: bool = False
) -> dict[str, Subset]:
    """The splits train, validation and test of a dataset; without the last two where they would be empty by request.

    labels: the class of every sample, where the task has classes: each must be in train, and there must be two;
    without them the dataset's own are checked, unless they may be numbers. strangers: other splits may have classes
    that train lacks, so none is checked. The splits are a function of the data and of `split`. Raises DataError for a
    split that would be empty and for a class that is not in train, ConfigError for what cannot be done with this
    dataset.
    """
    given = {name: dataset.readable(indices) for name, indices in dataset.splits().items()}
    if not given.get("train"):
        raise DataError(
            f"the data has no train split{f', only {_names(given)}' if given else ''}: there is nothing to train on."
        )
    if split.folds is not None or split.fold is not None:
        _check_folds(dataset, split, len(given["train"]))
    if dataset.along and split.split in ("auto", "time"):
        return _along(dataset, split, given)
    if split.folds is not None:
        given.pop("test", None)
    strata = _classes(dataset, split.split == "stratified")
    how = _how(split, strata)
    units = _units(dataset, split, given["train"], how)
    if split.folds is not None:
        test, units = _fold(dataset, split, units, strata, how, strangers)
        given["test"] = sorted(i for unit in test for i in unit)
    for name, share in (("test", split.test), ("validation", split.hold_out)):
        if name not in given and share:
            rest = [i for unit in units for i in unit]
            count = amount(share, len(rest), name)
            rng = Random(f"{name} {split.split_seed}")
            taken = _take(units if how == "time" else _spare(dataset, units, rng), count, how, strata, rng)
            given[name] = sorted(i for unit in taken for i in unit)
            gone = set(given[name])
            units = [unit for unit in units if unit[0] not in gone]
    given["train"] = sorted(i for unit in units for i in unit)
    numbers = labels is None and "value" in dataset.gives
    _check(dataset, given, None if strangers or numbers else strata if labels is None else labels)
    return {name: Subset(dataset, given[name]) for name in ("train", "validation", "test") if name in given}


def amount(share: float, total: int, name: str, what: str = "samples") -> int:
    """How many of `total` a share (below 1) or a number is. Raises DataError where that is none or all."""
    key = "hold_out" if name == "validation" else name
    if share < 0:
        raise ConfigError([f"data.{key}: {share} is negative."])
    count = max(1, round(share * total)) if share < 1 else round(share)
    if count >= total:
        raise DataError(
            f"data.{key}: {share:g} would leave nothing of {total:,} {what} for train. Give a smaller share."
        )
    return count


def _names(splits: dict[str, list[int]]) -> str:
    return " and ".join(splits)


def _check_folds(dataset: Dataset, split: Split, total: int) -> None:
    if split.folds is None:
        raise ConfigError([f"data.fold: {split.fold} is given, but not data.folds."])
    if split.folds < 2:
        raise ConfigError([f"data.folds: {split.folds} is too few; give 2 or more."])
    if split.fold is None or not 0 <= split.fold < split.folds:
        raise ConfigError([f"data.fold: say which fold is the test split, 0 to {split.folds - 1}."])
    if dataset.along:
        kind = "long texts" if dataset.along == "text" else "series"
        raise ConfigError(
            [f"data.folds: {kind} are cut by time, once; a fold of them would be trained on its own future."]
        )
    if split.folds > total:
        raise DataError(f"data.folds: {split.folds} folds of {total:,} samples: some would be empty.")


def _classes(dataset: Dataset, asked: bool) -> list[Any] | None:
    """The labels to stratify by; None where there are none, or where they are rather numbers."""
    if "label" not in dataset.gives:
        return None
    labels = dataset.column("label")
    return labels if asked or "value" not in dataset.gives or len(set(labels)) <= FEW else None


def _how(split: Split, strata: list[Any] | None) -> str:
    """The way to cut: what `auto` comes to here."""
    if split.split == "group" and split.group is None:
        raise ConfigError(["data.split: 'group' needs data.group, the column whose equal values stay together."])
    if split.split == "stratified" and strata is None:
        raise ConfigError(["data.split: 'stratified' needs labels, and this data has none."])
    if split.split != "auto":
        return split.split
    if split.group is not None:
        return "group"
    return "random" if strata is None else "stratified"


def _units(dataset: Dataset, split: Split, train: list[int], how: str) -> list[Unit]:
    """The training samples in parcels, in an order that is a function of their contents where these are known."""
    if how == "time":
        if split.group is not None:
            raise ConfigError(["data.group: equal values cannot stay together where the split is by time."])
        return [[i] for i in train]
    contents = dataset.contents()
    keys: Sequence[Any]
    if split.group is not None:
        keys = [str(value) for value in dataset.column(split.group)]
        contents = None
    elif contents is not None:
        keys = contents
    else:
        return [[i] for i in train]
    parcels: dict[Any, Unit] = defaultdict(list)
    for i in train:
        parcels[keys[i]].append(i)
    repeated = sum(len(unit) - 1 for unit in parcels.values())
    if repeated and contents is not None:
        _note(dataset, f"{repeated:,} of {len(train):,} samples repeat an earlier one; equal ones stay in one split")
    return [parcels[key] for key in sorted(parcels)]


def _fold(
    dataset: Dataset, split: Split, units: list[Unit], strata: list[Any] | None, how: str, strangers: bool
) -> tuple[list[Unit], list[Unit]]:
    """The units of a fold, but for those (noted) that alone have a class, a tag or a label; and all others."""
    dealt = strata if how == "stratified" else None
    parts = _deal(units, split.folds or 0, dealt, Random(split.split_seed))
    fold = parts.pop(split.fold or 0)
    others = [unit for part in parts for unit in part]
    test = fold if strangers else _spare(dataset, fold, Random(f"fold {split.split_seed}"), strata, others)
    tested = {unit[0] for unit in test}
    if held := [unit for unit in fold if unit[0] not in tested]:
        what = next(key for key in (*LABELLED, "label") if key in dataset.gives)
        count = f"{sum(map(len, held)):,} of {sum(map(len, units)):,} samples"
        _note(dataset, f"in train in every fold: {count}, as no others have their {what}")
    return test, others + held


def _spare(
    dataset: Dataset, units: list[Unit], rng: Random, classes: list[Any] | None = None, train: Sequence[Unit] = ()
) -> list[Unit]:
    """Units that train can do without: where samples have several tags or labels (or `classes`, one each), all but the
    first ones, in random order, that have what `train` lacks; all where that leaves none.
    """
    several = next((dataset.column(key) for key in LABELLED if key in dataset.gives), None)
    names = several if classes is None else [[one] for one in classes]
    if names is None:
        return units
    known = {name for unit in train for i in unit for name in names[i]}
    spare = []
    for unit in rng.sample(units, len(units)):
        own = {name for i in unit for name in names[i]}
        if own <= known:
            spare.append(unit)
        known |= own
    return spare or units


def _take(units: list[Unit], count: int, how: str, labels: list[Any] | None, rng: Random) -> list[Unit]:
    """Units with together `count` samples, or as few less as their sizes allow (but at least one unit)."""
    if how == "time":
        return units[-count:]
    if how != "stratified" or labels is None:
        return _fill(units, count, rng) or [min(units, key=len)]
    strata = _strata(units, labels)
    total = sum(len(unit) for unit in units)
    sizes = {label: sum(map(len, stratum)) for label, stratum in strata.items()}
    shares = {label: count * size / total for label, size in sizes.items()}
    wanted = {label: int(share) for label, share in shares.items()}
    for label in sorted(shares, key=lambda label: (wanted[label] - shares[label], str(label)))[
        : count - sum(wanted.values())
    ]:
        wanted[label] += 1  # largest remainders first
    taken: list[Unit] = []
    for label, stratum in strata.items():
        most = sizes[label] - min(map(len, stratum))  # one unit of every class stays in train
        taken += _fill(stratum, min(wanted[label], most), rng)
    return taken or [min(units, key=len)]


def _strata(units: list[Unit], labels: list[Any]) -> dict[Any, list[Unit]]:
    strata: dict[Any, list[Unit]] = defaultdict(list)
    for unit in units:
        strata[labels[unit[0]]].append(unit)
    return {label: strata[label] for label in sorted(strata, key=str)}


def _fill(units: list[Unit], count: int, rng: Random) -> list[Unit]:
    """Units in random order, each that still fits into `count` samples."""
    taken = []
    for unit in rng.sample(units, len(units)):
        if len(unit) <= count:
            taken.append(unit)
            count -= len(unit)
    return taken


def _deal(units: list[Unit], folds: int, labels: list[Any] | None, rng: Random) -> list[list[Unit]]:
    """Units dealt to folds like cards, the largest first, each to the fold with the fewest samples; class by class."""
    parts: list[list[Unit]] = [[] for _ in range(folds)]
    sizes = [0] * folds
    strata = _strata(units, labels) if labels is not None else {None: units}
    for stratum in strata.values():
        here = [0] * folds
        for unit in sorted(rng.sample(stratum, len(stratum)), key=len, reverse=True):
            fold = min(range(folds), key=lambda k: (here[k], sizes[k], k))
            parts[fold].append(unit)
            here[fold] += len(unit)
            sizes[fold] += len(unit)
    if not all(parts):
        raise DataError(
            f"data.folds: {folds} folds of {len(units):,} groups or different samples: some would be empty."
        )
    return parts


def _along(dataset: Dataset, split: Split, given: dict[str, list[int]]) -> dict[str, Subset]:
    """Every sample cut by time: train, then validation, then test; splits that the data names are whole samples."""
    if split.group is not None:
        raise ConfigError(["data.group: nothing can be grouped where every sample is cut by time."])
    what = "characters" if dataset.along == "text" else "steps"
    lengths = dataset.lengths()
    spans = {name: {i: (0, lengths[i]) for i in indices} for name, indices in given.items()}
    for name, share in (("test", split.test), ("validation", split.hold_out)):
        if name in given or not share:
            continue
        spans[name] = {}
        for i, (start, stop) in spans["train"].items():
            cut = stop - amount(share, stop - start, name, f"{what} of {dataset.source(i)}")
            spans[name][i], spans["train"][i] = (cut, stop), (start, cut)
    return {
        name: Subset(dataset, list(spans[name]), list(spans[name].values()))
        for name in ("train", "validation", "test")
        if name in spans
    }


def _check(dataset: Dataset, given: dict[str, list[int]], labels: list[Any] | None) -> None:
    """What would make training or its scores worthless."""
    for name, indices in given.items():
        if not indices:
            key = {"train": "hold_out or test", "validation": "hold_out"}.get(name, name)
            raise DataError(
                f"the {name} split is empty: too few samples differ (equal ones, and those of a group, stay together). "
                f"Add some, or set {key}: 0."
            )
    if labels is not None:
        classes = Counter(labels[i] for i in given["train"])
        for name, indices in given.items():
            strange = [i for i in indices if labels[i] not in classes]
            if strange:
                missing = first_few(sorted({f"'{labels[i]}'" for i in strange}))
                raise DataError(
                    f"class {missing} is in the {name} split ({len(strange):,} samples, the first "
                    f"{dataset.source(strange[0])}), but not in train. Add samples of it to train, or remove it."
                )
        if len(classes) < 2:
            only = printable(str(next(iter(classes))))
            raise DataError(
                f"all {len(given['train']):,} samples of train are of one class, '{only}': there is nothing to learn."
            )
    contents = dataset.contents()
    if contents is not None:
        seen = {contents[i] for i in given["train"]}
        for name in given.keys() - {"train"}:
            again = sum(contents[i] in seen for i in given[name])
            if again:
                _note(dataset, f"{again:,} of {len(given[name]):,} samples of {name} are also in train")


def _note(dataset: Dataset, text: str) -> None:
    if text not in dataset.notes:
        dataset.notes.append(text)
