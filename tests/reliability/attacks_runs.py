"""Attacks through a run, a model or a checkpoint that somebody sends."""

from __future__ import annotations

import io
import json
import random
import zipfile
from functools import partial
from pathlib import Path

from reliability.attack import (
    ATTACKS,
    a_run,
    blocked,
    change,
    newest,
    pickles,
    put_model,
    put_part,
    safetensors,
    trained,
)
from reliability.command import dlzoo

READ = (("evaluate", "mine"), ("predict", "mine", "x.png"))
RESUME = ("train", "--resume", "mine")


@ATTACKS.row("S01", "a pickle in the place of a model's weights: never loaded, not by evaluate, not by predict")
def _(place: Path) -> None:
    run = a_run(place)
    for content in pickles(place).values():
        put_model(run, content)
        for command in READ:
            assert "safetensors file" in blocked(place, *command, codes=(4,)).error


@ATTACKS.row("S02", "a pickle in the place of a checkpoint's parts: never loaded by a resume")
def _(place: Path) -> None:
    checkpoint = newest(a_run(place))
    parts = {
        part: (checkpoint / part).read_bytes() for part in ("model.safetensors", "state.safetensors", "state.json")
    }
    for part, whole in parts.items():
        for content in pickles(place).values():
            put_part(checkpoint, part, content)
            blocked(place, *RESUME, codes=(4,))
        put_part(checkpoint, part, whole)


@ATTACKS.row("S03", "a pickle in the place of model.json, run.json, config.yaml or a manifest")
def _(place: Path) -> None:
    run = a_run(place)
    checkpoint = newest(run)
    content = pickles(place)["raw"]
    for file, commands in {
        run / "model" / "model.json": READ,
        checkpoint / "manifest.json": (RESUME,),
        run / "config.yaml": (RESUME,),
        run / "run.json": (RESUME,),
    }.items():
        whole = file.read_bytes()
        file.write_bytes(content)
        for command in commands:
            blocked(place, *command, codes=(4,))
        file.write_bytes(whole)


@ATTACKS.row("S04", "a pickle given as data, to predict, or as weights to begin with: nothing in it is run")
def _(place: Path) -> None:
    a_run(place)
    for name, content in pickles(place).items():
        for file in (f"{name}.pt", f"{name}.pkl", f"{name}.png", f"{name}.csv"):
            (place / file).write_bytes(content)
        blocked(place, "predict", "mine", *(f"{name}.{kind}" for kind in ("pt", "pkl", "png", "csv")), codes=(3,))
        for data in (f"{{name: table, path: {name}.pt, target: x}}", f"{{name: table, path: {name}.csv, target: x}}"):
            _train(place, f"task: tabular_regression\nmodel: mlp\ndata: {data}\n")
        _train(place, f"task: language_modeling\nmodel: gru\ndata: {{name: texts, path: {name}.pkl}}\n")
    for name in pickles(place):
        for model in (
            f"{{name: torchvision, pretrained: {name}.pt}}",
            f"{{name: torchvision, pretrained: {name}.pkl}}",
        ):
            _train(place, f"task: image_classification\ndata: digits\nmodel: {model}\n", codes=(4,))
    for name in ("data_batch_1", "data_batch_1.bin", "test_batch", "test_batch.bin", "batches.meta"):
        (place / name).write_bytes(pickles(place)["raw"])
    (place / "batches.meta.txt").write_text("cat\ndog\n")
    _train(place, "task: image_classification\nmodel: lenet\ndata: {name: cifar, path: .}\n")
    for name in ("training.pt", "test.pt"):  # where torchvision once kept MNIST
        (place / "MNIST" / "processed").mkdir(parents=True, exist_ok=True)
        (place / "MNIST" / "processed" / name).write_bytes(pickles(place)["zip"])
    _train(place, "task: image_classification\nmodel: lenet\ndata: {name: torchvision, set: MNIST, path: .}\n")


def _train(place: Path, config: str, codes: tuple[int, ...] = (3,)) -> None:
    (place / "c.yaml").write_text(config)
    blocked(place, "train", "--config", "c.yaml", codes=codes)


@ATTACKS.row("S05", "a tensor that claims more than its bytes")
def _(place: Path) -> None:
    run = a_run(place)
    for shape, end in (([10**11], 4), ([10**6, 10**6], 4), ([2**62, 4], 16), ([10**11], 4 * 10**11), ([-1], 4)):
        put_model(run, safetensors({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}, b"\0" * 4))
        for command in READ:
            assert "safetensors file" in blocked(place, *command, codes=(4,)).error


@ATTACKS.row("S06", "an archive that unpacks to a thousand times its size, in the place of weights, data, pictures")
def _(place: Path) -> None:
    run, archive = a_run(place), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file, file.open("archive/data/0", "w") as member:
        for _ in range(64):
            member.write(b"\0" * 2**20)
    put_model(run, archive.getvalue())
    for command in READ:
        blocked(place, *command, codes=(4,))
    for name in ("x.png", "x.csv", "x.zip"):
        (place / name).write_bytes(archive.getvalue())
    blocked(place, "predict", trained() / "model", "x.png", "x.csv", "x.zip", codes=(3, 4))
    _train(place, "task: tabular_regression\nmodel: mlp\ndata: {name: table, path: x.csv, target: x}\n")


WEIGHT = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
LIES = {
    "strides": {"w": WEIGHT | {"stride": [0, 10**9]}},
    "an overlap": {"v": WEIGHT, "w": WEIGHT | {"data_offsets": [4, 12]}},
    "a gap": {"v": WEIGHT, "w": WEIGHT | {"data_offsets": [12, 20]}},
    "an end before its start": {"w": WEIGHT | {"data_offsets": [8, 0]}},
    "places below zero": {"w": WEIGHT | {"data_offsets": [-8, 0]}},
    "places behind the end": {"w": WEIGHT | {"data_offsets": [2**60, 2**60 + 8]}},
    "an unknown type": {"w": WEIGHT | {"dtype": "OBJECT"}},
    "a name twice": b'{"w": %s, "w": %s}' % ((json.dumps(WEIGHT).encode(),) * 2),
    "no object": b"[1, 2]",
    "an alias of itself": {"__metadata__": {"aliases": '{"a": "b"}'}, "w": WEIGHT},
    "aliases that are no object": {"__metadata__": {"aliases": "[[1, 2, 3]]"}, "w": WEIGHT},
    "aliases that are a number": {"__metadata__": {"aliases": "3"}, "w": WEIGHT},
    "aliases of lists": {"__metadata__": {"aliases": '{"a": [1]}'}, "w": WEIGHT},
    "aliases nested beyond all depth": {"__metadata__": {"aliases": "[" * 100_000}, "w": WEIGHT},
    "other tensors than the model's": {"w": WEIGHT},
}


@ATTACKS.row("S07", "strides, overlaps, gaps and other lies in a header of weights")
def _(place: Path) -> None:
    run = a_run(place)
    for header in LIES.values():
        put_model(run, safetensors(header, b"\0" * 8))
        said = blocked(place, *READ[0], codes=(4,)).error
        assert "safetensors file" in said or "does not fit" in said, said
    for length in (2**63, 2**64 - 1, 2**31, 0):
        put_model(run, length.to_bytes(8, "little") + b"{}" + b" " * 20_000)
        blocked(place, *READ[0], codes=(4,))
    put_part(checkpoint := newest(run), "state.safetensors", safetensors({"elsewhere/w": WEIGHT}, b"\0" * 8))
    blocked(place, *RESUME, codes=(4,))
    put_part(
        checkpoint, "state.json", b'{"format": 1, "dlzoo": "x", "step": 4, "config": 3, "task": [], "best": {"x": 1}}'
    )
    blocked(place, *RESUME, codes=(4,))


@ATTACKS.row("S08", "2,000 mutations of a file of weights: each is read as it is, or refused in words")
def _(place: Path) -> None:
    whole = (trained() / "model" / "model.safetensors").read_bytes()
    (place / "whole").write_bytes(whole)
    ended = dlzoo("list", "tasks", cwd=place, arm=partial(_mutate, 2000))
    assert ended.code == 0, ended.error[-600:]


def _mutate(count: int) -> None:
    """In the new process: damage a file of weights in every way, and load it."""
    from dlzoo.engine import weights
    from dlzoo.errors import RunError

    whole, rng, refused = Path("whole").read_bytes(), random.Random(0), 0
    header = 8 + int.from_bytes(whole[:8], "little")
    for i in range(count):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            where = rng.randrange(min(len(content), header if i % 4 else len(whole)))
            match rng.randrange(4):
                case 0:
                    content[where] ^= 1 << rng.randrange(8)
                case 1:
                    content[where : where + 1] = rng.randbytes(rng.randint(0, 9))
                case 2:
                    del content[where : where + rng.randint(1, 40)]
                case 3:
                    content[where:where] = content[: rng.randint(1, 40)]
        Path("mutant").write_bytes(content)
        try:
            weights.load(Path("mutant"))
        except RunError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1, error
    assert refused > count / 2, f"only {refused} of {count} were refused"


@ATTACKS.row("S09", "class paths in a model's or a run's description: names are looked up, never imported")
def _(place: Path) -> None:
    run = a_run(place)
    (place / "evil.py").write_text("open('canary', 'w')")
    file = run / "model" / "model.json"
    whole = file.read_bytes()
    for section, value in (
        ("model", {"name": "os.system"}),
        ("model", {"name": "evil"}),
        ("model", {"name": "../../evil"}),
        ("model", {"_target_": "os.system", "name": "mlp"}),
        ("model", {"class_path": "evil.Evil", "name": "mlp"}),
        ("model", {"_instantiator": "evil.main", "name": "mlp"}),
        ("task", {"name": "builtins.exec"}),
        ("data", {"name": "digits", "class_path": "evil"}),
    ):
        change(file, lambda meta, key=section, new=value: meta | {"config": meta["config"] | {key: new}})
        for command in READ:
            blocked(place, *command, codes=(4,))
        file.write_bytes(whole)
    change(file, lambda meta: meta | {"imports": ["evil.py"], "config": meta["config"] | {"model": {"name": "evil"}}})
    assert "--import evil.py" in blocked(place, *READ[0], codes=(4,)).error


@ATTACKS.row("S27", "100 MB of description, a million classes, a model far larger than its weights")
def _(place: Path) -> None:
    run = a_run(place)
    file = run / "model" / "model.json"
    meta = json.loads(file.read_bytes())
    for key, text in {"filler": '"' + "x" * 10**8 + '"', "lists": "[" + "[]," * 2 * 10**7 + "0]"}.items():
        file.write_text(json.dumps(meta)[:-1] + f', "{key}": {text}}}')
        blocked(place, *READ[0], codes=(4,))
    file.write_text(json.dumps(meta)[:-1] + ', "deep": ' + "[" * 10**6 + "}")
    blocked(place, *READ[0], codes=(4,))
    classes = {"classes": [str(i) for i in range(10**6)], "counts": [1] * 10**6}
    file.write_text(json.dumps(meta | {"task": meta["task"] | classes}))
    blocked(place, *READ[0], codes=(4,))
    for args in ({"dim": 10**9}, {"dim": 10**6}, {"dim": 2 * 10**4}, {"depth": 10**9}, {"dim": 10**30}):
        file.write_text(json.dumps(meta | {"config": meta["config"] | {"model": meta["config"]["model"] | args}}))
        blocked(place, *READ[0])
    file.write_text(json.dumps(meta))
    put_model(run, safetensors({"__metadata__": {"x": "y" * 10**8}}))
    blocked(place, *READ[0], codes=(4,))


@ATTACKS.row("S28", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 in the environment changes nothing")
def _(place: Path) -> None:
    run = a_run(place)
    put_model(run, pickles(place)["zip"])
    for command in READ:
        blocked(place, *command, codes=(4,), TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    put_part(newest(run), "state.safetensors", pickles(place)["zip"])
    blocked(place, *RESUME, codes=(4,), TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
