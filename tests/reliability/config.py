"""Bad configs: each mistake is told with its file, line, column and key before anything is created."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dlzoo.optim import AdamW
from dlzoo.schema.reader import load
from reliability.command import dlzoo
from reliability.table import Table

CONFIG = Table("config", "refused", "exit 2, file:line:column and key, nothing created, within 2 s")

HEAD = "task: image_classification\ndata: digits\n"
SMALL = HEAD + "model: lenet\n"
TEXTS = "task: text_classification\ndata: spam\n"
SECONDS = 2.0
"""Of the processor, in which a mistake is told by a process that is warm."""

Case = tuple[str | bytes, str]
"""A config, and the front of what is said of it."""


def refused(place: Path, config: str | bytes, said: str, *options: str) -> None:
    """`dlzoo train` with that config ends with one error that begins with `said`, and leaves the folder as it was."""
    (place / "c.yaml").write_bytes(config.encode() if isinstance(config, str) else config)
    before = sorted(place.rglob("*"))
    ended = dlzoo("train", "--config", "c.yaml", *options, cwd=place)
    assert ended.code == 2, f"exit {ended.code}: {ended.error or config[:100]!r}"
    assert ended.error.startswith(f"error: {said}"), f"wanted {said!r}, got {ended.error[:300]!r}"
    assert len(ended.error.splitlines()) <= 6 and "Traceback" not in ended.error, ended.error
    assert sorted(place.rglob("*")) == before, f"created for {said!r}"
    assert ended.work < SECONDS, f"{ended.work:.1f} s for {said!r}"


def row(number: str, promise: str, *cases: Case) -> None:
    """Add a row of configs that are refused."""
    CONFIG.row(number, promise)(partial(_all, cases))


def _all(cases: tuple[Case, ...], place: Path) -> None:
    for config, said in cases:
        refused(place, config, said)


row(
    "Y01",
    "an unknown key: did you mean, what there is, or where it belongs",
    (SMALL + "train: {epoch: 3}", "c.yaml:4:9: train: unknown key 'epoch'. Did you mean 'epochs'? Choose from: "),
    (SMALL + "modell: x", "c.yaml:4:1: unknown key 'modell'. Did you mean 'model'? Choose from: data, "),
    (HEAD + "model: {name: lenet, kernl: 3}", "c.yaml:3:22: model: unknown key 'kernl'. Did you mean 'kernel'?"),
    (
        "task: image_classification\ndata: {name: digits, holdout: 0.2}\nmodel: lenet",
        "c.yaml:2:22: data: unknown key 'holdout'. Did you mean 'hold_out'?",
    ),
    (SMALL + "lr: 0.1", "c.yaml:4:1: unknown key 'lr': it belongs in optimizer"),
    (SMALL + "train:\n  optimizer: sgd", "c.yaml:5:3: train: 'optimizer' is a section of its own, beside 'train'"),
)
row(
    "Y02",
    "a misspelt name of a model, optimizer, schedule, dataset, task or metric",
    (HEAD + "model: lenett", "c.yaml:3:8: model: unknown model 'lenett'. Did you mean 'lenet'? Choose from: "),
    (SMALL + "optimizer: adamww", "c.yaml:4:12: optimizer: unknown optimizer 'adamww'. Did you mean 'adamw'?"),
    (SMALL + "optimizer: SGD", "c.yaml:4:12: optimizer: unknown optimizer 'SGD'. Did you mean 'sgd'?"),
    (SMALL + "schedule: cosinus", "c.yaml:4:11: schedule: unknown schedule 'cosinus'. Did you mean 'cosine'?"),
    ("task: image_classification\ndata: digit\nmodel: lenet", "c.yaml:2:7: data: unknown dataset 'digit'. Did you"),
    ("task: image_clasification\ndata: digits\nmodel: lenet", "c.yaml:1:7: task: unknown task 'image_clasification'."),
    (
        SMALL + "evaluate: {monitor: acuracy}",
        "c.yaml:4:21: evaluate.monitor: unknown metric 'acuracy'. Did you mean 'accuracy'? Choose from: ",
    ),
)
row(
    "Y03",
    "a value of the wrong type, also inside a list",
    (SMALL + "train: {batch_size: many}", "c.yaml:4:21: train.batch_size: expected a whole number, got 'many'"),
    (SMALL + "train: {seed: [1]}", "c.yaml:4:15: train.seed: expected a whole number, got [1]"),
    (
        SMALL + "optimizer: {name: adam, betas: [0.9, x]}",
        "c.yaml:4:38: optimizer.betas[1]: expected a number, got 'x'",
    ),
    (
        SMALL + "optimizer: {name: adam, betas: [0.9]}",
        "c.yaml:4:32: optimizer.betas: expected tuple of float, float, got 1 values",
    ),
    (SMALL + "train: 3", "c.yaml:4:8: train: expected keys and values, got 3"),
    (SMALL + "train: [1, {a: 2}]", 'c.yaml:4:8: train: expected keys and values, got [1, {"a": 2}]'),
    (HEAD + "model: {name: [lenet]}", "c.yaml:3:15: model: unknown model '[\"lenet\"]'."),
    (SMALL + "optimizer: {name: {a: 1}}", "c.yaml:4:19: optimizer: unknown optimizer '{\"a\": 1}'."),
    (HEAD + "model: [lenet]", 'c.yaml:3:8: model: expected a name, or a mapping with a name, got ["lenet"]'),
    (
        SMALL + "train: {precision: bf16}",
        "c.yaml:4:20: train.precision: expected float32 | tf32 | bfloat16 | float16, got 'bf16'. "
        "Did you mean 'bfloat16'?",
    ),
)


@CONFIG.row("Y04", "1e-3, 1E-2 and 1e3 are numbers; in quotes they are text, and refused")
def _(place: Path) -> None:
    (place / "c.yaml").write_text(SMALL + "optimizer: {lr: 1e-3, weight_decay: 1E-2}\ntrain: {steps: 1e3, seed: 0x10}")
    config = load(place / "c.yaml")
    assert config.optimizer == AdamW(lr=0.001, weight_decay=0.01), config.optimizer
    assert (config.train.steps, config.train.seed) == (1000, 16), config.train
    refused(
        place,
        SMALL + 'optimizer: {lr: "1e-3"}',
        "c.yaml:4:17: optimizer.lr: expected a number, got '1e-3'; write 0.001, without quotes",
    )


def _text(place: Path, *words: str) -> None:
    """Each word, unquoted, is text for a key that takes text."""
    for word in words:
        config = f"task: tabular_regression\nmodel: mlp\ndata: {{name: table, path: x, target: {word}}}"
        (place / "c.yaml").write_text(config)
        assert load(place / "c.yaml").data.args["target"] == word, word


@CONFIG.row("Y05", "no, on and yes stay text, also as a key")
def _(place: Path) -> None:
    _text(place, "no", "NO", "on", "yes", "off", "y")
    refused(place, SMALL + "on: 1", "c.yaml:4:1: unknown key 'on'.")
    refused(place, SMALL + "train: {compile: no}", "c.yaml:4:18: train.compile: expected true or false, got 'no'")


@CONFIG.row("Y06", "010, 12:30 and 1_000 stay text: no octal, no base 60, no underscores")
def _(place: Path) -> None:
    _text(place, "010", "12:30", "1_000", "0o9")
    where = "c.yaml:4:15: train.seed: expected a whole number, got"
    refused(place, SMALL + "train: {seed: 010}", f"{where} '010'; write 10, without quotes, underscores or zeros")
    refused(place, SMALL + "train: {seed: 12:30}", f"{where} '12:30'")
    refused(place, SMALL + "train: {seed: 1_000}", f"{where} '1_000'; write 1000,")


row(
    "Y07",
    "a number out of its range, nan, infinity, more than a float holds, half a sample",
    (SMALL + "optimizer: {lr: -1}", "c.yaml:4:17: optimizer.lr: must be more than 0, got -1"),
    (SMALL + "optimizer: {lr: .nan}", "c.yaml:4:17: optimizer.lr: must be finite, got .nan"),
    (SMALL + "optimizer: {weight_decay: .inf}", "c.yaml:4:27: optimizer.weight_decay: must be finite, got .inf"),
    (SMALL + "optimizer: {weight_decay: 1e999}", "c.yaml:4:27: optimizer.weight_decay: must be finite, got .inf"),
    (SMALL + "train: {batch_size: 2.5}", "c.yaml:4:21: train.batch_size: expected a whole number, got 2.5"),
    (SMALL + "train: {batch_size: 0}", "c.yaml:4:21: train.batch_size: must be at least 1, got 0"),
    (SMALL + "train: {ema: 1.0}", "c.yaml:4:14: train.ema: must be less than 1, got 1"),
    (
        "task: {name: image_classification, smoothing: 1.5}\ndata: digits\nmodel: lenet",
        "c.yaml:1:47: task.smoothing: must be less than 1, got 1.5",
    ),
    (HEAD + "model: {name: lenet, hidden: [8, 0]}", "c.yaml:3:34: model.hidden[1]: must be at least 1, got 0"),
)
row(
    "Y08",
    "a key that is given twice, with the line of the first",
    (SMALL + "train: {seed: 1, seed: 2}", "c.yaml:4:18: duplicate key 'seed': it is already given in line 4"),
    (SMALL + "task: x", "c.yaml:4:1: duplicate key 'task': it is already given in line 1"),
)
LEVELS = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9 if i else ['x'] * 9)}]\n" for i in range(9))
row(
    "Y09",
    "an alias bomb is refused at its first alias, not unfolded",
    (LEVELS, "c.yaml:2:10: aliases (*l0) are not allowed; write the value out"),
    ("a: &a [1, 1]\nb: [*a, *a]", "c.yaml:2:5: aliases (*a) are not allowed"),
)
MERGES = "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 9))
row(
    "Y10",
    "a bomb of merge keys likewise",
    ("m0: &m0 {x: 1}\n" + MERGES, "c.yaml:2:15: aliases (*m0) are not allowed"),
    ("a: &a {x: 1}\nb: {<<: *a}", "c.yaml:2:9: aliases (*a) are not allowed"),
)
row(
    "Y11",
    "nesting beyond 32 levels, in brackets or in blocks",
    ("a: " + "[" * 100_000, "c.yaml:1:35: nested more than 32 deep"),
    ("\n".join(" " * i + "a:" for i in range(200)), "c.yaml:32:32: nested more than 32 deep"),
)
row(
    "Y12",
    "a value that contains itself",
    ("a: &a [*a]", "c.yaml:1:8: aliases (*a) are not allowed"),
    ("&a {b: *a}", "c.yaml:1:8: aliases (*a) are not allowed"),
)
row(
    "Y13",
    "tabs: use spaces",
    (SMALL + "train:\n\tseed: 1", "c.yaml:5:1: a tab; use spaces"),
    (SMALL + "train:\t{seed: 1}", "c.yaml:4:7: a tab; use spaces"),
)
row(
    "Y14",
    "keys that are no text",
    (SMALL + "1: x", "c.yaml:4:1: a key must be text, not 1; put it in quotes if it is meant"),
    (SMALL + "true: x", "c.yaml:4:1: a key must be text, not true"),
    (SMALL + "? [a]\n: x", "c.yaml:4:3: a key must be text, not a list or mapping"),
)
row(
    "Y15",
    "a number of 5,000 digits",
    (SMALL + f"train: {{seed: {'9' * 5000}}}", "c.yaml:4:15: a number of more than 30 digits"),
    (SMALL + f"optimizer: {{lr: 0.{'1' * 5000}}}", "c.yaml:4:17: a number of more than 30 digits"),
)
row(
    "Y16",
    "a date that there is not is text like any other",
    (SMALL + "train: {seed: 2024-13-45}", "c.yaml:4:15: train.seed: expected a whole number, got '2024-13-45'"),
)
row(
    "Y17",
    "an empty file, a list, a single value, two documents",
    ("", "c.yaml:1:1: the file is empty; a config has at least task, data and model"),
    ("# nothing\n", "c.yaml:1:1: the file is empty"),
    ("- a", "c.yaml:1:1: a config is a mapping of keys to values, not a list"),
    ("hello", "c.yaml:1:1: a config is a mapping of keys to values, not a single value"),
    (SMALL + "---\n" + SMALL, "c.yaml:4:1: a second document"),
)
row(
    "Y18",
    "bytes that are no UTF-8, UTF-16, NUL",
    (b"task: caf\xe9", "c.yaml:1:10: not UTF-8 text; save the file as UTF-8"),
    (SMALL.encode("utf-16"), "c.yaml:1:1: not UTF-8 text"),
    (b"task: a\nb: \x00", "c.yaml:2:4: a character that text cannot have (#x00)"),
)
row(
    "Y19",
    "a file of more than 1 MB, or of more than 10,000 values",
    ("#" * 1_000_001, "c.yaml: larger than 1,000,000 bytes"),
    ("\n".join(f"k{i}: 1" for i in range(20_000)), "c.yaml:5000:"),
)
row(
    "Y20",
    "tags that build objects, and class paths: nothing is run",
    (
        SMALL + "name: !!python/object/apply:os.system [touch canary]",
        "c.yaml:4:7: the tag !!python/object/apply:os.system is not allowed: a config holds plain values",
    ),
    (SMALL + "name: !!python/name:os.system ''", "c.yaml:4:7: the tag !!python/name:os.system is not allowed"),
    (SMALL + "name: !env HOME", "c.yaml:4:7: the tag !env is not allowed"),
    (HEAD + "model: {name: lenet, _target_: os.system}", "c.yaml:3:22: model: unknown key '_target_'"),
)
row(
    "Y21",
    "a required key that is missing, with what could stand there",
    ("task: image_classification\ndata: digits\n", "c.yaml:1:1: 'model' is missing. Choose from: "),
    (HEAD + "model: {kernel: 3}", "c.yaml:3:8: model: 'name' is missing. Choose from: "),
    (
        "task: tabular_regression\ndata: {name: table, path: x.csv}\nmodel: mlp",
        "c.yaml:2:7: data: 'target' is missing: text (the column that is to be predicted)",
    ),
)
row(
    "Y22",
    "true for a number, a number for true",
    (SMALL + "optimizer: {lr: true}", "c.yaml:4:17: optimizer.lr: expected a number, got true"),
    (SMALL + "train: {steps: false}", "c.yaml:4:16: train.steps: expected a whole number, got false"),
    (SMALL + "train: {compile: 1}", "c.yaml:4:18: train.compile: expected true or false, got 1"),
)
row(
    "Y23",
    "contradictions: between keys, with the data, inside a model",
    (SMALL + "train: {epochs: 1, steps: 2}", "c.yaml:4:27: train.steps: give epochs or steps, not both"),
    (
        "task: image_classification\ndata: {name: digits, hold_out: 0.5, test: 0.5}\nmodel: lenet",
        "c.yaml:2:32: data.hold_out: with test 0.5 nothing is left for training",
    ),
    (
        "task: image_classification\ndata: {name: digits, split: group}\nmodel: lenet",
        "c.yaml:2:29: data.split: a split by group needs `group`",
    ),
    (
        "task: image_classification\ndata: {name: digits, folds: 5, fold: 5}\nmodel: lenet",
        "c.yaml:2:38: data.fold: counts from 0",
    ),
    (
        SMALL + "train: {batch_size: 2, accumulate: 3}",
        "c.yaml:4:36: train.accumulate: a batch of 2 cannot be split into 3 micro-batches",
    ),
    (
        SMALL + "optimizer: {name: adamw, momentum: 0.9}",
        "c.yaml:4:26: optimizer: adamw has no 'momentum'; sgd, rmsprop have it. adamw takes lr, betas",
    ),
    (
        "task: image_classification\ndata: {name: digits, hold_out: 0}\nmodel: lenet\nschedule: plateau",
        "c.yaml:4:11: schedule: plateau watches the validation split",
    ),
    (HEAD + "model: gpt", "c.yaml:3:8: model: 'gpt' does not fit image_classification: "),
    (
        "task: text_classification\ndata: digits\nmodel: gru",
        "c.yaml:2:7: data: this task needs text in every sample, and the data gives image, label",
    ),
    (TEXTS + "model: {name: bert, dim: 10, heads: 3}", "c.yaml:3:37: model.heads: 3 heads do not divide a dim of 10"),
    (HEAD + "model: {name: mlp, in_features: 7}", "c.yaml:3:8: model: 'mlp' has in_features 7, but the data has 64: "),
    (
        SMALL + "train: {epochs: 1}\nschedule: {warmup: 500}",
        "c.yaml:5:20: schedule.warmup: a warmup of 500 updates does not end within ",
    ),
    (
        "task: {name: image_classification, gamma: 3}\ndata: digits\nmodel: lenet",
        "c.yaml:1:43: task.gamma: loss: cross_entropy has none; leave it out, or set loss: focal",
    ),
)


@CONFIG.row("Y24", "a path of the wrong kind: a file for a folder, a folder for a file, no text")
def _(place: Path) -> None:
    (place / "file").write_text("a,b\n1,2\n")
    (place / "folder").mkdir()
    images = "task: image_classification\nmodel: lenet\ndata: {name: image_folder, path: "
    table = "task: tabular_regression\nmodel: mlp\ndata: {name: table, target: b, path: "
    refused(place, images + "3}", "c.yaml:3:34: data.path: expected text, got 3; put it in quotes")
    refused(place, images + "file}", "c.yaml:3:34: data.path: 'file': a folder is wanted here, this is a file")
    refused(place, images + "., csv: folder}", "c.yaml:3:42: data.csv: 'folder': a file is wanted here")
    refused(place, table + "file, test_path: folder}", "c.yaml:3:55: data.test_path: 'folder': a file is wanted here")
    refused(place, table + "/dev/zero}", "c.yaml:3:38: data.path: '/dev/zero': a file is wanted here, this is not")


@CONFIG.row("Y25", "a bad --set key=value, named by its option")
def _(place: Path) -> None:
    config = SMALL + "train: {seed: 1}"
    for text, said in (
        ("optimizer.lr", "--set optimizer.lr: no value; write --set optimizer.lr=VALUE, with null for none"),
        ("optimizer.lr=", "--set optimizer.lr: no value"),
        ("=3", "--set : write it as key=value, or section.key=value"),
        ("a..b=1", "--set a..b: write it as key=value"),
        ("optimizer.lr=abc", "--set optimizer.lr: expected a number, got 'abc'"),
        ("optimizer.lr=[", "--set optimizer.lr: not valid YAML"),
        ("optimizer.rate=1", "--set optimizer.rate: optimizer: unknown key 'rate'"),
        ("train.seed.x=1", "--set train.seed.x: 'train.seed' is not a section, so it has no 'x'"),
        ("model.name=lenett", "--set model.name: model: unknown model 'lenett'"),
        ("model=gpt", "--set model: 'gpt' does not fit image_classification"),
        ("train.seed={a: 1, a: 2}", "--set train.seed: duplicate key 'a'"),
        ("name=../x", "--set name: a run's name has letters"),
    ):
        refused(place, config, said, "--set", text)
