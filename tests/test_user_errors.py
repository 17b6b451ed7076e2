"""Bad files, bad runs and bad places over the command line: what is wrong and where, the exit code, nothing lost."""

import gzip
import shutil
import struct
from pathlib import Path

import pytest
from made import picture, write

IMAGES = "task: {name: image_classification, size: 8}\ndata: {name: image_folder, path: data}\nmodel: lenet\n"
PRICES = "task: tabular_regression\ndata: {name: table, path: data.csv, target: price}\nmodel: mlp\n"
KINDS = "task: tabular_classification\ndata: {name: table, path: data.csv, target: kind}\nmodel: mlp\n"
TEXTS = "task: text_classification\ndata: {name: texts, path: data.csv, text: mail, label: kind}\nmodel: gru\n"
NOVEL = "task: {name: language_modeling, context: 8}\ndata: {name: texts, path: data.txt, unit: document}\nmodel: gru\n"
SERIES = (
    "task: {name: forecasting, context: 6, horizon: 2}\n"
    "data: {name: series, path: data.csv, time: day, targets: [sold]}\nmodel: gru\n"
)
IDX = "task: image_classification\ndata: {name: idx, path: data}\nmodel: lenet\n"
SMALL = "train: {steps: 2, threads: 1}\n"


def rows(header: str, make, count: int = 40) -> dict[int, str]:
    """A file by line number: `header`, then `count` rows of `make(i)`."""
    return {1: header} | {i + 2: make(i) for i in range(count)}


def price(i: int) -> str:
    return f"{i % 7},{'uvw'[i % 3]},{i / 3}"


def kind(i: int) -> str:
    return f"{i % 7},{'uvw'[i % 3]},{'yes' if i % 7 > 3 else 'no'}"


def mail(i: int) -> str:
    return f"mail {'win' if i % 2 else 'see you'} {i},{'spam' if i % 2 else 'ham'}"


def day(i: int) -> str:
    return f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{i % 5}"


def put(header: str, make, changes: dict[int, str | None]) -> bytes:
    """Those rows, with some lines changed; None takes one out."""
    found = rows(header, make) | changes
    return "".join(f"{line}\n" for line in found.values() if line is not None).encode()


def prices(**changes: str | None) -> dict[str, bytes]:
    return {"data.csv": put("size,zone,price", price, {int(key[1:]): line for key, line in changes.items()})}


def kinds(**changes: str | None) -> dict[str, bytes]:
    return {"data.csv": put("size,zone,kind", kind, {int(key[1:]): line for key, line in changes.items()})}


def mails(**changes: str | None) -> dict[str, bytes]:
    return {"data.csv": put("mail,kind", mail, {int(key[1:]): line for key, line in changes.items()})}


def days(**changes: str | None) -> dict[str, bytes]:
    return {"data.csv": put("day,sold", day, {int(key[1:]): line for key, line in changes.items()})}


def images(folder: Path, classes: str = "ab") -> None:
    for i in range(24):
        picture(folder / "data" / classes[i % len(classes)] / f"{i}.png", i * 10, (8, 8))


DATA = {
    # case: (config, files or a function that makes them, exit code, words)
    "table: no file": (PRICES, {}, 3, ["data.csv: there is no such file or folder"]),
    "table: a folder of nothing": (PRICES.replace("data.csv", "data"), {"data/x.bin": b"1"}, 3, ["data"]),
    "table: another column in the test split": (
        KINDS.replace("target: kind", "target: kind, test_path: test.csv"),
        kinds() | {"test.csv": b"size,area,kind\n1,u,yes\n"},
        3,
        ["test.csv", "zone"],
    ),
    "table: a picture": (KINDS, {"data.csv": b"\x89PNG\r\n\x1a\n\x00\x00"}, 3, ["data.csv"]),
    "table: a zip": (KINDS, {"data.csv": b"PK\x03\x04"}, 3, ["data.csv", "ZIP"]),
    "table: a class for regression": (PRICES.replace("target: price", "target: zone"), prices(), 3, ["data.csv:2"]),
    "texts: no such column": (TEXTS.replace("text: mail", "text: male"), mails(), 3, ["'male'", "'mail'"]),
    "texts: no label in a row": (TEXTS, mails(_9="hello,"), 3, ["data.csv:9", "label is empty"]),
    "texts: not UTF-8": (TEXTS, {"data.csv": mails()["data.csv"] + b"h\xff,spam\n"}, 3, ["data.csv:42"]),
    "texts: an empty document": (NOVEL, {"data.txt": b""}, 3, ["data.txt", "empty"]),
    "texts: bytes": (NOVEL, {"data.txt": b"it was \xff\xfe" * 90}, 3, ["data.txt", "UTF-8"]),
    "texts: shorter than two splits": (NOVEL, {"data.txt": b"a"}, 3, ["data.txt"]),
    "texts: class folders without a file": (
        TEXTS.replace("data.csv, text: mail, label: kind", "data"),
        {"data/spam/x.bin": b""},
        3,
        ["data"],
    ),
    "series: empty": (SERIES, {"data.csv": b""}, 3, ["data.csv", "empty"]),
    "series: no such column": (SERIES.replace("[sold]", "[sole]"), days(), 3, ["'sole'", "'sold'"]),
    "images: no folder": (IMAGES, {}, 3, ["data", "no such"]),
    "images: no pictures": (IMAGES, {"data/a/x.txt": b"x"}, 3, ["data"]),
    "images: one class": (IMAGES, lambda folder: images(folder, "a"), 3, ["one class"]),
    "idx: no files": (IDX, {"data/x": b""}, 3, ["data", "train-images"]),
    "idx: cut short": (
        IDX,
        {
            f"data/{part}-{what}": gzip.compress(struct.pack(f">BBBB{dims}I", 0, 0, 8, dims, *[3] * dims) + b"1")
            for part in ("train", "t10k")
            for what, dims in (("images-idx3-ubyte.gz", 3), ("labels-idx1-ubyte.gz", 1))
        },
        3,
        ["ubyte.gz"],
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_a_mistake_in_the_data_is_said_with_its_place_before_anything_is_made(case, dlzoo, tmp_path, monkeypatch):
    config, files, expected, words = DATA[case]
    monkeypatch.chdir(tmp_path)
    if callable(files):
        files(tmp_path)
    else:
        for name, content in files.items():
            write(tmp_path / name, content)
    write(tmp_path / "c.yaml", config if "train:" in config else config + SMALL)
    code, out, error = dlzoo("train", "--config", "c.yaml")
    assert (code, error[:7]) == (expected, "error: "), error
    assert all(word in error for word in words), error
    assert "Traceback" not in error and len(error.splitlines()) <= 6 and "step" not in out, error
    assert not list(tmp_path.glob("runs/*/model")) and not list(tmp_path.glob("runs/*/checkpoints/*"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run on a table, finished; a copy for each test to spoil."""
    from dlzoo.run import train
    from dlzoo.schema.reader import load

    folder = tmp_path_factory.mktemp("trained")
    write(folder / "data.csv", kinds()["data.csv"])
    config = KINDS.replace("data.csv", str(folder / "data.csv")).replace("model: mlp", "model: {name: mlp, dim: 8}")
    write(folder / "c.yaml", config + SMALL)
    return train.train(load(folder / "c.yaml"), root=folder / "runs", quiet=True).run


def spoil(run: Path, how: str) -> None:
    weights = run / "model" / "model.safetensors"
    if how == "gone":
        shutil.rmtree(run / "model")
    elif how == "half":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif how == "flipped":
        content = bytearray(weights.read_bytes())
        content[-3] ^= 1
        weights.write_bytes(bytes(content))
    elif how == "no description":
        (run / "model" / "model.json").unlink()
    elif how == "no json":
        (run / "run.json").write_text("{")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize("how", ["gone", "half", "flipped", "no description"])
def test_a_damaged_model_answers_nothing_and_is_named(how, command, trained, dlzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/mine-001")
    spoil(Path("runs/mine-001"), how)
    data = trained.parent.parent / "data.csv"
    code, out, error = dlzoo(command, "mine", *([data, "-o", "out.csv"] if command == "predict" else []))
    assert code == 4 and not out and error.startswith("error: ") and "mine-001" in error, error
    assert "Traceback" not in error and len(error.splitlines()) <= 6
    assert not Path("out.csv").exists()


def test_a_run_without_its_facts_does_not_go_on(trained, dlzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/mine-001")
    spoil(Path("runs/mine-001"), "no json")
    code, _, error = dlzoo("train", "--resume", "mine")
    assert code == 4 and error.startswith("error: ") and "Traceback" not in error and len(error.splitlines()) <= 6, (
        error
    )
