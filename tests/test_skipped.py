"""`data.on_error: skip`: what cannot be read is left out as if it had never been there, counted and said."""

import json
from pathlib import Path

import pytest
from made import picture, write
from test_resume import config, content, stop_at

from dlzoo.config import Split
from dlzoo.data.image_folder import ImageFolder
from dlzoo.data.skipped import Skipped
from dlzoo.data.table import Table
from dlzoo.data.texts import Texts
from dlzoo.errors import DataError
from dlzoo.run import train as command

NOISY = """
    task: noisy_images
    data: {{name: image_folder, path: {path}, mode: grey, on_error: {how}}}
    model: {{name: mlp, dim: 16}}
    train: {{batch_size: 16, epochs: 3, workers: {workers}}}"""


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    for name in ("scored", "curves"):
        monkeypatch.setattr(command.report, name, lambda *_: [])


def folder(path: Path, *bad: str) -> Path:
    """200 pictures of two classes, and files that are none."""
    for i in range(200):
        picture(path / "ab"[i % 2] / f"{i}.png", i, (8, 8))
    for name in bad:
        write(path / name, "no picture")
    return path


def run(path: Path, root: Path, how: str = "skip", workers: int = 0):
    return command.train(config(NOISY.format(path=path, how=how, workers=workers), steps=None), root=root, quiet=True)


def bare(run: Path) -> dict:
    """The run's content, without what says where its data lies and how it was read."""
    found = content(run)
    found["state"].pop("config")
    return found


def test_a_run_that_skips_is_the_run_without_those_files_with_any_workers_and_any_stops(tmp_path, monkeypatch, capsys):
    clean = bare(run(folder(tmp_path / "clean"), tmp_path / "runs", "error").run)
    path = folder(tmp_path / "bad", "a/17x.png", "b/5.png.png")
    for workers in (0, 1, 2):
        assert bare(run(path, tmp_path / "runs", workers=workers).run) == clean
    stop_at(monkeypatch, 4, 13)
    stopped = run(path, tmp_path / "stopped")
    assert [command.resume(stopped.run, quiet=True).code for _ in range(2)] == [143, 0]
    assert bare(stopped.run) == clean
    facts = json.loads((stopped.run / "run.json").read_text())
    assert facts["skipped"]["count"] == 2 and "a/17x.png" in facts["skipped"]["first"][0]
    last = capsys.readouterr().err.rpartition("resuming")[2]
    assert "2 samples are skipped, which cannot be read" in last and "b/5.png.png" in last


def test_beyond_the_ceiling_the_run_ends_before_it_begins(tmp_path):
    path = folder(tmp_path / "bad", "a/x.png", "a/y.png", "b/z.png")
    with pytest.raises(DataError, match=r"3 of 203 samples cannot be read, more than data.max_skipped: 0\.01.*x\.png"):
        run(path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def skipping(dataset, most=0.5):
    dataset.skipped = Skipped(most)
    dataset.skipped.find(dataset)
    return dataset


def test_rows_that_cannot_be_read_become_no_samples(tmp_path):
    rows = [f"{i},{'uv'[i % 2]},name {i},{i / 2}" for i in range(30)]
    rows[3], rows[8], rows[11], rows[20] = "many,u,n,1", "1,u,n", "2,u,n,", "2,u,n,inf"
    path = write(tmp_path / "a.csv", "\n".join(["size,kind,who,price", *rows, ""]))
    with pytest.raises(DataError, match=r"a\.csv:10: the row has 3 cells"):
        len(Table(path, "price"))
    data = skipping(Table(path, "price"))
    assert len(data) == len(data.column("value")) == len(data.column("who")) == 26
    assert data.source(3).endswith("a.csv:6") and data.column("who")[3] == "name 4" and data[3]["value"] == 2.0
    assert [error.partition("a.csv:")[2].partition(":")[0] for error in data.skipped.first] == ["5", "10", "13", "22"]
    again = Table(path, "price")
    again.skipped = Skipped(0)
    assert [sample["source"] for sample in again.stream()] == [data.source(i) for i in range(26)]
    assert again.skipped.count == 4
    with pytest.raises(DataError, match="4 of 30 samples cannot be read, more than data.max_skipped: 3"):
        skipping(Table(path, "price"), 3)


def test_texts_that_cannot_be_read_become_no_samples(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,who\none,a,x\ntwo,\nthree,,x\nfour,b,y\n")
    data = skipping(Texts(path))
    assert data.column("text") == ["one", "four"] and data.column("who") == ["x", "y"] and data.skipped.count == 2
    for i, text in enumerate(("good", b"b\xffd", "fine")):
        write(tmp_path / "docs" / f"{i}.txt", text)
    data = skipping(Texts(str(tmp_path / "docs")))
    assert data.column("text") == ["good", "fine"] and data.skipped.count == 1
    assert [sample["text"] for sample in data.stream()] == ["good", "fine"]


def test_listed_files_that_are_not_there_are_skipped_too(tmp_path):
    folder(tmp_path / "pictures")
    names = [*(f"{'ab'[i % 2]}/{i}.png,{'ab'[i % 2]}" for i in range(200)), "a/none.png,a"]
    path = write(tmp_path / "list.csv", "\n".join(["path,label", *names, ""]))
    data = ImageFolder(str(tmp_path / "pictures"), csv=path)
    assert skipping(data).skipped.indices == {200} and data.fingerprint()
    assert len(data.readable(data.splits()["train"])) == 200


KINDS = """\
task: tabular_classification
data: {name: table, path: data.csv, target: kind, test_path: test.csv, on_error: skip, max_skipped: 2}
model: {name: mlp, dim: 4}
train: {steps: 2, threads: 1}
"""


def test_what_is_skipped_in_a_test_split_or_in_other_data_is_said(dlzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i},{i % 2}\n" for i in range(30))
    write(tmp_path / "data.csv", "size,kind\n" + rows)
    write(tmp_path / "test.csv", "size,kind\n" + rows + "many,1\n")
    write(tmp_path / "c.yaml", KINDS)
    code, _, error = dlzoo("train", "--config", "c.yaml", "--name", "a")
    assert code == 0 and error.count("test.csv:32") == 2, error
    for arguments in ((), ("--data", "test.csv")):
        code, out, error = dlzoo("evaluate", "a", "--json", *arguments)
        assert code == 0 and json.loads(out)["skipped"]["count"] == 1 and json.loads(out)["samples"] == 30
        assert "test.csv:32" in error
    write(tmp_path / "test.csv", "size,kind\n" + rows + "many,1\n" * 3)
    code, _, error = dlzoo("evaluate", "a", "--data", "test.csv")
    assert code == 3 and "3 of 33 samples cannot be read" in error, error


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{name: airline, on_error: skip}", "data.on_error: skip would tear holes"),
        ("{name: digits, max_skipped: 3}", "data.max_skipped: on_error: error skips nothing"),
        ("{name: digits, on_error: skip, max_skipped: 1.5}", "a share is below 1"),
        ("{name: digits, on_error: ignore}", "expected error | skip, got 'ignore'"),
    ],
)
def test_a_wish_to_skip_that_means_nothing_is_refused(data, says, dlzoo, tmp_path):
    task, model = ("forecasting", "gru") if "airline" in data else ("image_classification", "mlp")
    path = write(tmp_path / "c.yaml", f"task: {task}\ndata: {data}\nmodel: {model}\n")
    code, _, error = dlzoo("check", "--config", path)
    assert code == 2 and says in error, error


def test_skipping_is_off_unless_it_is_asked_for():
    assert Split().on_error == "error"
