"""Splits and batches that would make training or its scores worthless."""

from __future__ import annotations

from pathlib import Path

from made import write

from reliability.command import dlzoo
from reliability.data import DATA, IMAGES, KINDS, MAILS, accepted, facts, kinds, mails, pictures, refused, train


@DATA.row("B40", "a split that would be empty is refused")
def _(place: Path) -> None:
    named = KINDS.replace("target: kind", "target: kind, test_path: test.csv")
    refused(train(place, named, data_csv=kinds(), test_csv="size,zone,kind\n"), "test.csv", "no rows")
    whole = KINDS.replace("target: kind", "target: kind, hold_out: 40")
    refused(train(place, whole, data_csv=kinds()), "data.hold_out", "nothing", "train")
    alike = "size,zone,kind\n" + "1,u,yes\n2,v,no\n" * 20
    refused(train(place, KINDS, data_csv=alike), "train split is empty", "too few samples differ", "hold_out")


@DATA.row("B41", "fewer rows than a batch are one batch: none is dropped")
def _(place: Path) -> None:
    plan = "train: {epochs: 3, batch_size: 512, threads: 1}\n"
    accepted(train(place, KINDS, plan=plan, data_csv=kinds()), "3 updates")
    assert facts(place)["step"] == 3


@DATA.row("B42", "a last batch of one sample joins the one before: batch statistics need two, and it is said")
def _(place: Path) -> None:
    pictures(place, count=17)
    config = IMAGES.replace("path: data", "path: data, test: 0, hold_out: 0").replace("mlp, dim: 8", "resnet, width: 8")
    plan = "train: {epochs: 2, batch_size: 16, threads: 1}\n"
    accepted(train(place, config, plan=plan), "train  2 updates", "joins")
    for plan in ("batch_size: 1", "batch_size: 16, accumulate: 16"):
        ended = train(place, config, plan=f"train: {{epochs: 2, threads: 1, {plan}}}\n")
        assert ended.code == 2 and "train.batch_size" in ended.said and "two samples" in ended.said, ended


@DATA.row("B43", "rows and texts that are in train and in another split are counted; `check --data` finds pictures")
def _(place: Path) -> None:
    accepted(
        train(place, KINDS.replace("kind}", "kind, test_path: test.csv}"), data_csv=kinds(), test_csv=kinds()),
        "36 of 40 samples of test are also in train",
    )
    config = MAILS.replace("data.csv", "data.csv, validation_path: test.csv")
    few = "\n".join(mails().splitlines()[:4]) + "\n"
    accepted(train(place, config, data_csv=mails(), test_csv=few), "3 of 3 samples of validation are also in train")
    folder = pictures(place / "pictures" / "data", count=12).parent
    for name in ("train", "test"):
        (folder / "data").rename(folder / name) if name == "train" else pictures(folder, count=4)
    (folder / "data").rename(folder / "test")
    write(place / "c.yaml", IMAGES.replace("path: data", "path: pictures/data"))
    found = dlzoo("check", "--config", "c.yaml", "--data", cwd=place)
    assert found.code == 0 and "duplicates" in found.out and "test/a/0.png" in found.out, found
