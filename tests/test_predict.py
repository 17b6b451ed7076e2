"""`dlzoo predict`: inputs, answers, order, errors; then end to end on runs trained here on bundled data."""

import csv
import io
import json
import os
import shutil

import pytest
import torch
from PIL import Image
from sklearn import datasets
from torch import nn
from trained import train

from dlzoo.engine.runtime import Runtime
from dlzoo.errors import DataError, OutputError, UserError
from dlzoo.run import answers as writers
from dlzoo.run import build, inputs
from dlzoo.run.items import samples
from dlzoo.run.predict import Tally, answer, convert, options_of, predict
from dlzoo.schema import reader as configs
from dlzoo.task import Batch, Task

TEXT, ROW, IMAGE = ("text", "label"), ("row", "label"), ("image", "label")


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expand(arguments, needs=TEXT, exclude=None):
    skipped = inputs.Skipped()
    return [item for item in inputs.expand(arguments, needs, skipped, exclude) if item is not None], skipped


@pytest.fixture
def stdin(monkeypatch):
    def give(text):
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))

    return give


# ---- inputs


def test_a_folder_is_read_recursively_in_order_and_says_what_it_passed_over(tmp_path):
    for name in ("b.png", "a.JPG", "deep/c.bmp", ".hidden.png", "Thumbs.db", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, skipped = expand([str(tmp_path)], IMAGE)
    assert [item.content.name for item in found] == ["a.JPG", "b.png", "c.bmp"]
    assert str(skipped) == "1 hidden, 1 .db, 1 .txt"


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "self").symlink_to(tmp_path)
    assert len(expand([str(tmp_path)], IMAGE)[0]) == 1


def test_globs_are_expanded_in_order(tmp_path):
    for name in ("2.png", "1.png", "3.jpg"):
        (tmp_path / name).write_bytes(b"x")
    found, _ = expand([str(tmp_path / "*.png")], IMAGE)
    assert [item.content.name for item in found] == ["1.png", "2.png"]


def test_a_file_is_not_read_while_it_is_written(tmp_path):
    for name in ("a.csv", "out.csv"):
        (tmp_path / name).write_bytes(b"x")
    found, _ = expand([str(tmp_path)], ROW, exclude=tmp_path / "out.csv")
    assert [item.content.name for item in found] == ["a.csv"]


@pytest.mark.parametrize(
    ("argument", "needs", "message"),
    [
        ("gone.png", IMAGE, "gone.png does not exist"),
        ("gone.csv", TEXT, "gone.csv does not exist"),
        ("*.png", IMAGE, "no file matches"),
        ("a\x1bb", IMAGE, "a\\x1bb does not exist"),
        ("nul\0byte.png", IMAGE, "does not exist"),
        ("x" * 5000 + ".png", IMAGE, "does not exist"),
    ],
)
def test_what_is_no_file_is_a_data_error(argument, needs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (item,), _ = expand([argument], needs)
    assert isinstance(item.content, DataError) and message in str(item.content)


def test_a_pipe_or_device_is_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (item,), _ = expand([str(tmp_path / "pipe")], ROW)
    assert "not a regular file" in str(item.content)


def test_an_argument_is_text_where_the_task_reads_text():
    (first, second), _ = expand(["How are you?", '{"text": "hi"}'], TEXT)
    assert first.content == "How are you?" and second.content == '{"text": "hi"}'


def test_stdin_gives_lines_of_text_with_their_numbers(stdin):
    stdin("one\r\n\nthree")
    found, _ = expand(["-"], TEXT)
    assert [(item.content, item.name) for item in found] == [("one", "-:1"), ("", "-:2"), ("three", "-:3")]


def test_stdin_gives_rows_under_a_header(stdin):
    stdin('a;b\n1;x\n2\n3;"y;z"\n')
    found, _ = expand(["-"], ROW)
    assert [item.name for item in found] == ["-:2", "-:3", "-:4"]
    assert json.loads(found[0].content) == {"a": "1", "b": "x"} and json.loads(found[2].content)["b"] == "y;z"
    assert isinstance(found[1].content, DataError)


def test_stdin_gives_json_or_paths(stdin, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    stdin(f'{{"a": 1}}\n{tmp_path}/a.png\ngone.png\n')
    found, _ = expand(["-"], IMAGE)
    assert (
        found[0].content == '{"a": 1}' and found[1].content.name == "a.png" and isinstance(found[2].content, DataError)
    )


def test_a_bad_line_of_stdin_loses_nothing(stdin, monkeypatch):
    monkeypatch.setattr(inputs, "LONGEST_LINE", 10)
    stdin(b"good\n\xff\xfe\n" + b"x" * 35 + b"\nend\n")
    found, _ = expand(["-"], TEXT)
    assert [item.name for item in found] == ["-:1", "-:2", "-:3", "-:4"]
    assert "UTF-8" in str(found[1].content) and "a line of more" in str(found[2].content) and found[3].content == "end"


def test_a_pause_of_stdin_shows(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        monkeypatch.setattr(inputs, "PAUSE", 0.02)
        items = inputs.expand(["-"], TEXT, inputs.Skipped())
        os.write(write, b"first\n")
        assert next(items).content == "first"
        assert next(items) is None
        os.write(write, b"second\n")
        assert next(items).content == "second"
        os.close(write)
        assert [item for item in items if item is not None] == []


# ---- writers

ANSWERS = [
    {"source": "=cmd|'/c calc'!A0", "label": "@cat", "score": 0.9, "scores": {"@cat": 0.9, "-1": 0.1}},
    {"source": "b.png", "error": "b.png is broken"},
]


def test_csv_runs_no_formula_and_keeps_numbers(tmp_path):
    path = writers.save(tmp_path / "out.csv", ANSWERS)
    rows = table(path)
    assert rows[0]["source"].startswith("'=") and rows[0]["label"] == "'@cat" and float(rows[0]["scores.-1"]) == 0.1
    assert rows[1]["error"] == "b.png is broken" and rows[1]["label"] == ""
    assert writers.cell("-1.5") == "-1.5" and writers.cell(-1.5) == -1.5 and writers.cell("-1+2").startswith("'")


def test_csv_with_errors_first_has_all_columns(tmp_path):
    path = writers.save(tmp_path / "out.csv", ANSWERS[::-1])
    rows = table(path)
    assert [row["source"] for row in rows] == ["b.png", "'=cmd|'/c calc'!A0"] and "scores.@cat" in rows[0]
    only = writers.save(tmp_path / "errors.csv", ANSWERS[1:]).read_text()
    assert only == "source,error\nb.png,b.png is broken\n"


def test_csv_gives_a_forecast_one_row_a_step(tmp_path):
    forecast = {"source": "s", "forecast": [1.0, 2.0], "times": ["a", "b"], "quantiles": {"0.1": [0.5, 1.5]}}
    text = writers.save(tmp_path / "out.csv", [forecast]).read_text()
    assert text.splitlines() == ["source,step,forecast,times,quantiles.0.1,error", "s,1,1.0,a,0.5,", "s,2,2.0,b,1.5,"]


def test_json_lines_go_into_a_file_or_a_folder(tmp_path):
    for output in (tmp_path / "out.jsonl", tmp_path / "folder"):
        path = writers.save(output, ANSWERS)
        assert [json.loads(line) for line in path.read_text().splitlines()] == ANSWERS
    assert path == tmp_path / "folder" / "answers.jsonl"


def test_an_unfinished_file_never_takes_its_name(tmp_path):
    def failing():
        yield ANSWERS[0]
        raise KeyboardInterrupt

    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        writers.save(tmp_path / "out.csv", failing())
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"] and (tmp_path / "out.csv").read_text() == "old"


def test_other_kinds_of_output_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\.csv"):
        writers.destination(tmp_path / "out.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        writers.destination(tmp_path / "file")


def test_readable_lines_cannot_steer_a_terminal():
    for answer_ in (
        {"label": "\x1b[31m", "score": 1.0},
        {"text": "a\x1b]0;b\nc\r"},
        {"error": "\x07"},
        {"value": 1.0, "x\x1b": "\u202e"},
    ):
        line = writers.readable({"source": "\x1b[2J", **answer_})
        assert all(c.isprintable() or c == "\n" for c in line)


# ---- the stream: a task that halves the numbers that it reads


class Halves(Task):
    needs = ("text",)
    accepts = ("vector",)
    monitor = "-mae"
    sizes: list[int]

    def __init__(self):
        self.sizes = []

    def facts(self):
        return {}

    def encode(self, sample, rng=None):
        try:
            return {"x": torch.tensor(float(sample["text"]))}
        except ValueError:
            raise DataError(f"{sample['text']} is no number") from None

    def collate(self, columns):
        self.sizes.append(len(columns["x"]))
        return Batch({"x": columns["x"]}, {}, len(columns["x"]))

    def head(self, backbone):
        return nn.Identity()

    def loss(self, outputs, batch):
        return outputs.sum()

    def decode(self, outputs, batch):
        return [{"value": value} for value in outputs.tolist()]

    def truth(self, batch):
        return []

    def metrics(self):
        return []

    def read(self, source):
        if isinstance(source, str):
            yield {"text": source}
            return
        for number, line in enumerate(source.read_text().splitlines(), 1):
            if line == "bad":
                yield DataError(f"{source}:{number}: bad row")
            else:
                yield {"text": line, "source": f"{source}:{number}"}
        if not number % 2:
            raise DataError(f"{source}: broken at the end")

    def answer(self, model, batch, *, temperature: float = 1.0, top_k: int | None = None, sample: bool = False):
        return self.decode(model(**batch.inputs) * temperature, batch)


class Half(nn.Module):
    def forward(self, x):
        return x / 2


def halves(items, batch_size=4, **options):
    task = Halves()
    return list(answer(Half(), task, samples(task, items), Runtime(), batch_size, options)), task.sizes


def literal(*texts):
    return [None if text is None else inputs.Input(text, text) for text in texts]


def test_answers_come_in_order_with_bad_ones_in_their_places():
    found, sizes = halves(literal("1", "x", "3", "4", "y", "6", "inf"))
    assert [a["source"] for a in found] == ["1", "x", "3", "4", "y", "6", "inf"]
    assert [a.get("value") for a in found] == [0.5, None, 1.5, 2.0, None, 3.0, None]
    assert "no number" in found[1]["error"] and "no finite number" in found[6]["error"]
    assert sizes == [3, 2]


def test_batch_size_changes_nothing():
    items = literal(*map(str, range(50)))
    assert halves(items, 1)[0] == halves(items, 7)[0] == halves(items, 64)[0]


def test_a_pause_answers_what_waits():
    assert halves(literal("1", None, "2", "3", None, None))[1] == [1, 2]


def test_a_bad_row_and_a_bad_end_of_a_file_lose_nothing(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("1\nbad\n3\n4\n")
    found, _ = halves([inputs.Input(path)])
    assert [a["source"] for a in found] == [f"{path}:1", f"{path}:2", f"{path}:3", f"{path}:4", str(path)]
    assert "bad row" in found[1]["error"] and "broken" in found[4]["error"]


def test_options_are_converted_by_the_signature():
    assert list(options_of(Halves)) == ["temperature", "top_k", "sample"]
    assert convert(Halves, {"temperature": "2", "top-k": "5", "sample": "yes"}) == {
        "temperature": 2.0,
        "top_k": 5,
        "sample": True,
    }
    assert convert(Halves(), {"top_k": "none"}) == {"top_k": None}
    assert halves(literal("3"), temperature=2.0)[0] == [{"source": "3", "value": 3.0}]
    with pytest.raises(UserError, match="Did you mean '--temperature'") as error:
        convert(Halves, {"temprature": "1", "top-k": "many"})
    assert "--top-k many" in str(error.value)


def test_the_exit_code_says_how_many_were_answered():
    bad = {"source": "b", "error": "e"}
    for answers, code in (([{"source": "a"}], 0), ([{"source": "a"}, bad], 8), ([bad], 3)):
        tally = Tally()
        assert list(tally.count(answers)) == answers and tally.code == code
    with pytest.raises(DataError):
        list(Tally().count([]))


# ---- end to end, on runs trained here


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    for name in ("digits", "credit", "diabetes", "spam", "austen", "airline"):
        train(folder / "runs" / name, name, steps=3)
    digits = datasets.load_digits().images
    (folder / "pictures").mkdir()
    for i in range(5):
        Image.fromarray((digits[i] * 15.9).astype("uint8")).save(folder / "pictures" / f"{i}.png")
    (folder / "mails.jsonl").write_text('{"text": "win money"}\n{"text": "see you at nine"}\n')
    (folder / "months.csv").write_text(
        "month,passengers\n" + "".join(f"19{50 + i // 12}-{i % 12 + 1:02d},{100 + i}\n" for i in range(40))
    )
    dataset = build.build_dataset(
        configs.from_dict({"task": "tabular_classification", "data": "credit", "model": "mlp"}, "test")
    )
    with (folder / "customers.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [{key: "" if value is None else value for key, value in dataset[i]["row"].items()} for i in range(20)]
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("run", "source", "keys", "count"),
    [
        ("digits", "pictures", {"label", "score", "scores"}, 5),
        ("digits", "pictures/*.png", {"label", "score", "scores"}, 5),
        ("credit", "customers.csv", {"label", "score", "scores"}, 20),
        ("spam", "mails.jsonl", {"label", "score", "scores"}, 2),
        ("spam", "Win money now, dear friend!", {"label", "score", "scores"}, 1),
        ("austen", "It is a truth", {"text", "new"}, 1),
        ("airline", "months.csv", {"forecast", "times"}, 1),
    ],
)
def test_every_task_answers_a_users_file(run, source, keys, count, here, capsys):
    options = {"max_new_tokens": "5"} if run == "austen" else {}
    assert predict(run, [source], options=options) == 0
    answers = lines(capsys)
    assert len(answers) == count and all(keys <= set(answer) and answer["source"] for answer in answers)


def test_a_moved_run_and_a_copied_model_give_the_same_answers(here, tmp_path, monkeypatch, capsys):
    predict("credit", ["customers.csv"])
    before = lines(capsys)
    shutil.copytree(here / "runs" / "credit", tmp_path / "moved")
    shutil.copytree(here / "runs" / "credit" / "model", tmp_path / "elsewhere" / "model")
    shutil.copy(here / "customers.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    for run in ("moved", "elsewhere/model", "elsewhere"):
        assert predict(run, ["customers.csv"]) == 0
        assert lines(capsys) == before


def test_the_batch_size_changes_no_answer(here, capsys):
    texts = ("win money now " * (7 * i % 23 + 1) for i in range(120))
    (here / "many.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    for run, source in (("credit", "customers.csv"), ("digits", "pictures"), ("spam", "many.jsonl")):
        predict(run, [source], batch_size=1)
        single = lines(capsys)
        predict(run, [source], batch_size=3)
        for one, other in zip(single, lines(capsys), strict=True):
            assert one["source"] == other["source"] and one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_stdin_and_the_file_give_the_same_answers(here, stdin, capsys):
    predict("credit", ["customers.csv"])
    of_file = lines(capsys)
    stdin((here / "customers.csv").read_text())
    predict("credit", ["-"])
    of_stdin = lines(capsys)
    assert [answer["scores"] for answer in of_stdin] == [answer["scores"] for answer in of_file]
    assert of_stdin[0]["source"] == "-:2"


def test_a_series_comes_through_stdin(here, stdin, capsys):
    predict("airline", ["months.csv"])
    (of_file,) = lines(capsys)
    stdin((here / "months.csv").read_text())
    predict("airline", ["-"])
    assert lines(capsys) == [{**of_file, "source": of_file["source"].replace("months.csv", "-")}]
    stdin("month,passengers\n1950-01,x\n")
    predict("airline", ["-"])
    (failed,) = lines(capsys)
    assert failed["source"] == "-:2" and failed["error"].startswith("-:2: ")


def test_a_million_is_no_other_case_than_a_few(here, tmp_path, capsys):
    head, *rows = (here / "customers.csv").read_text().splitlines(keepends=True)
    (tmp_path / "many.csv").write_text(head + "".join(rows) * 150)
    assert predict("credit", [str(tmp_path / "many.csv")], output=tmp_path / "out.csv") == 0
    found = table(tmp_path / "out.csv")
    assert [row["source"] for row in found] == [f"{tmp_path}/many.csv:{i}" for i in range(2, 3002)]
    assert {row["label"] for row in found[::20]} == {found[0]["label"]}


BAD = {
    "a missing file": ("credit", "gone.csv", None, "does not exist"),
    "an empty file": ("credit", "data.csv", b"", "empty"),
    "a header alone": ("credit", "data.csv", "header", ""),
    "a column that is gone": ("credit", "data.csv", b"Status,Seniority\ngood,3\n", "no column"),
    "no text": ("credit", "data.csv", b"\xff\xfe\x00a", ""),
    "a picture that is none": ("digits", "x.png", b"GIF89a", ""),
    "an empty picture": ("digits", "x.png", b"", "empty"),
    "a text named .png": ("digits", "x.png", b"hello", "picture"),
    "a zip as a table": ("credit", "data.csv", b"PK\x03\x04", "ZIP"),
    "a series that is too short": ("airline", "data.csv", b"month,passengers\n1950-01,1\n1950-02,2\n", "context"),
    "text in a series": ("airline", "data.csv", b"month,passengers\n1950-01,1\n1950-02,two\n", ""),
    "JSON that is none": ("credit", "{oops", None, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_input_alone_ends_with_3(case, here, tmp_path, dlzoo):
    run, name, content, words = BAD[case]
    path = name
    if content is not None:
        path = tmp_path / name
        path.write_bytes((here / "customers.csv").read_bytes().splitlines()[0] if content == "header" else content)
    code, out, error = dlzoo("predict", run, path)
    (answer_,) = [json.loads(line) for line in out.splitlines()]
    assert code == 3 and set(answer_) == {"source", "error"} and words in answer_["error"]
    assert error.startswith("error: 1 of 1 inputs") and "Traceback" not in error and len(error.splitlines()) <= 6


def test_bad_rows_stand_among_good_ones_and_end_with_8(here, tmp_path, dlzoo):
    head, *rows = (here / "customers.csv").read_text().splitlines(keepends=True)
    broken = rows[1].split(",")
    number = next(i for i, cell in enumerate(broken) if cell.replace(".", "").isdigit())
    (tmp_path / "rows.csv").write_text(
        head + rows[0] + ",".join([*broken[:number], "zwei", *broken[number + 1 :]]) + rows[2] + "1,2\n"
    )
    code, _, error = dlzoo("predict", "credit", tmp_path / "rows.csv", "-o", tmp_path / "out.csv")
    assert code == 8 and "2 of 4 inputs" in error
    found = table(tmp_path / "out.csv")
    assert [bool(row["error"]) for row in found] == [False, True, False, True]
    assert [row["source"].rsplit(":", 1)[1] for row in found] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nosuchrun", "x"], 4),
        (["credit", "customers.csv", "-o", "out.xlsx"], 2),
        (["credit", "customers.csv", "-o", "customers.csv"], 2),
        (["credit", "customers.csv", "--temperature", "1"], 2),
        (["austen", "x", "--temperature", "hot"], 2),
        (["credit", "runs/credit/model/empty"], 3),
        (["credit", "customers.csv", "-o", "customers.csv/x.csv"], 7),
        (["credit"], 2),
    ],
)
def test_exit_codes(arguments, code, here, dlzoo):
    before = (here / "customers.csv").read_bytes()
    found, _, error = dlzoo("predict", *arguments)
    assert found == code and "Traceback" not in error and error.startswith("error: ")
    assert (here / "customers.csv").read_bytes() == before


def test_an_empty_folder_is_an_error_and_leaves_no_file(here, tmp_path, dlzoo):
    (tmp_path / "empty").mkdir()
    assert dlzoo("predict", "digits", tmp_path / "empty", "-o", tmp_path / "out.csv")[0] == 3
    assert not (tmp_path / "out.csv").exists()


def test_the_help_of_a_run_shows_its_options(here, dlzoo):
    code, out, _ = dlzoo("predict", "austen", "--help")
    assert code == 0 and "--temperature" in out
