"""Attacks through data: lists that point elsewhere, devices, pictures and archives that are bombs."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib
from functools import partial
from pathlib import Path

from dlzoo.data.location import fingerprint
from dlzoo.errors import DataError
from reliability.attack import ATTACKS, Canary, a_run, blocked, trained
from reliability.command import dlzoo

PICTURES = (
    "task: {name: image_classification, size: 8}\nmodel: {name: mlp, dim: 4}\ntrain: {steps: 1, threads: 1}\n"
    "data: {name: image_folder, path: pictures"
)


def pictures(place: Path) -> None:
    """Two folders of tiny pictures, a class each."""
    for name in ("a", "b"):
        (place / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            (place / "pictures" / name / f"{i}.png").write_bytes(png(4, 4))


def png(width: int, height: int, *more: tuple[bytes, bytes], real: bool = True) -> bytes:
    """A grey PNG of 1 bit a pixel, all black, with more chunks; without pixels unless `real`."""
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9) if real else b""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), *more, (b"IDAT", rows), (b"IEND", b""))
    )


def _listed(place: Path, *rows: str) -> None:
    """Training on a list of pictures with these rows between good ones."""
    good = [f"{name}/{i}.png,{name}" for name in "ab" for i in range(12)]
    (place / "list.csv").write_text("\n".join(["path,label", *good[:12], *rows, *good[12:], ""]))
    (place / "c.yaml").write_text(PICTURES + ", csv: list.csv}\n")
    ended = blocked(place, "train", "--config", "c.yaml", codes=(3,))
    assert "list.csv" in ended.error and not (place / "runs").exists(), ended.error


@ATTACKS.row("S12", "a list of pictures that climbs out of its folder")
def _(place: Path) -> None:
    pictures(place)
    shutil.copy(place / "pictures" / "a" / "0.png", place / "secret.png")
    for row in ("../secret.png,a", "a/../../secret.png,a", "../../../../../../etc/passwd,a", "a/.././../secret.png,b"):
        _listed(place, row)


@ATTACKS.row("S13", "a list of pictures with an absolute path elsewhere; one below the folder is fine")
def _(place: Path) -> None:
    pictures(place)
    for row in ("/etc/passwd,a", "//etc/passwd,a", f"{place}/list.csv,a", "~/x.png,a"):
        _listed(place, row)
    rows = [f"{place}/pictures/{name}/{i}.png,{name}" for name in "ab" for i in range(12)]
    (place / "list.csv").write_text("\n".join(["path,label", *rows]))
    ended = dlzoo("check", "--config", "c.yaml", cwd=place)
    assert ended.code == 0, ended.error


@ATTACKS.row("S14", "links: in a list of pictures out of its folder; in a run, out of it, where something is written")
def _(place: Path) -> None:
    pictures(place)
    (place / "secret").mkdir()
    shutil.copy(place / "pictures" / "a" / "0.png", place / "secret" / "0.png")
    (place / "pictures" / "a" / "link.png").symlink_to(place / "secret" / "0.png")
    (place / "pictures" / "a" / "deep").symlink_to(place / "secret")
    for row in ("a/link.png,a", "a/deep/0.png,a", "a/deep/../0.png,a"):
        _listed(place, row)
    (place / "mine.txt").write_text("mine\n")
    for name in ("log.txt", "metrics.jsonl", "config.yaml", "error.txt", ".lock", "model", "evaluate", "figures"):
        run = a_run(place)
        _remove(run / name)
        target = place / ("secret" if name in ("model", "evaluate", "figures") else "mine.txt")
        (run / name).symlink_to(target)
        for command in (("train", "--resume", "mine"), ("evaluate", "mine")):
            blocked(place, *command, codes=(4,))
        shutil.rmtree(run)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@ATTACKS.row("S15", "pipes and devices, in the place of any file: nothing waits, nothing reads without end")
def _(place: Path) -> None:
    pictures(place)
    os.mkfifo(place / "pipe")
    os.mkfifo(place / "pictures" / "a" / "pipe.png")
    (place / "pictures" / "a" / "zero.png").symlink_to("/dev/zero")
    _listed(place, "a/pipe.png,a")
    _listed(place, "a/zero.png,a")
    (place / "c.yaml").write_text(PICTURES + "}\n")
    blocked(place, "train", "--config", "c.yaml", codes=(3,))
    for path in ("pipe", "pictures/a/zero.png"):  # among more pictures than a task looks at, before the hash is taken
        ended = dlzoo("list", "tasks", cwd=place, arm=partial(_no_fingerprint, place / path), seconds=20)
        assert ended.code == 0, ended.error
    for path in ("pipe", "/dev/zero", "/dev/stdin"):
        (place / "c.yaml").write_text(
            f"task: tabular_regression\nmodel: mlp\ndata: {{name: table, path: {path}, target: x}}\n"
        )
        blocked(place, "train", "--config", "c.yaml", codes=(2,))
        blocked(place, "train", "--config", path, codes=(2,))
        blocked(place, "check", "--config", "c.yaml", "--import", path, codes=(2,))
        blocked(place, "predict", trained() / "model", path, codes=(3,))
    for name in ("run.json", "config.yaml", "model/model.json", "model/model.safetensors", "log.txt", "metrics.jsonl"):
        commands = (("train", "--resume", "mine"), ("evaluate", "mine"), ("predict", "mine", "x.png"))
        for command in commands[: 1 if name == "run.json" else None]:  # without it, model/ is a model alone
            run = a_run(place)
            (run / name).unlink()
            os.mkfifo(run / name)
            blocked(place, *command, codes=(3, 4))
            shutil.rmtree(run)


def _no_fingerprint(file: Path) -> None:
    """In the new process: the hash of a file without an end is refused."""
    try:
        fingerprint([file])
    except DataError as error:
        assert file.name in str(error), error
    else:
        raise AssertionError(f"{file} has a hash")


@ATTACKS.row("S22", "pictures of a few bytes that unpack to gigabytes: refused by their headers")
def _(place: Path) -> None:
    side = 65_000
    bombs = {
        "real.png": png(12_000, 10_000),
        "header.png": png(2**31 - 1, 2**31 - 1, real=False),
        "a.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        "a.gif": b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + _frame(side),
        "frame.gif": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + _frame(side),
        "a.jpg": b"\xff\xd8\xff\xc0\0\x0b\x08"
        + struct.pack(">HH", side, side)
        + b"\1\1\x11\0\xff\xda\0\x08\1\1\0\0?\0",
        "a.pgm": b"P5 65000 65000 255\n",
        "a.tif": _tiff(side),
    }
    assert len(bombs["real.png"]) < 20_000
    for name, content in bombs.items():
        (place / name).write_bytes(content)
        ended = blocked(place, "predict", trained() / "model", name, codes=(3,))
        assert name in ended.error, ended.error
    ended = blocked(place, "predict", trained() / "model", *bombs, codes=(3,))
    assert ended.out.count("megapixels") >= 7, ended.out


def _frame(side: int) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\2\2\x4c\1\0;"


def _tiff(side: int) -> bytes:
    tags = (
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 4, side),
        (279, 4, 1),
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


@ATTACKS.row("S23", "PNG text that unpacks to 1 GB; EPS, PSD, SVG and other formats under the name of a picture")
def _(place: Path) -> None:
    text = zlib.compress(bytes(2**26), 9)
    for kind, front in ((b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0"), (b"iCCP", b"x\0\0")):
        (place / f"{kind.decode()}.png").write_bytes(png(4, 4, *([(kind, front + text)] * 16)))
    strange = {
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file\n",
        "psd.png": b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + bytes(40),
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "ico.png": b"\0\0\1\0\1\0\4\4\0\0\1\0\x20\0\x30\0\0\0\x16\0\0\0" + bytes(48),
        "pdf.png": b"%PDF-1.4\n",
        "wmf.png": b"\xd7\xcd\xc6\x9a" + bytes(40),
        "fits.png": b"SIMPLE  =                    T" + bytes(2880),
    }
    for name, content in strange.items():
        (place / name).write_bytes(content)
    names = [*(f"{kind}.png" for kind in ("zTXt", "iTXt")), *strange]
    ended = blocked(place, "predict", trained() / "model", *names, codes=(3,))
    assert ended.out.count('"error"') == len(names), ended.out
    blocked(place, "predict", trained() / "model", "iCCP.png", "none.png", codes=(3, 8))


@ATTACKS.row("S24", "archives that unpack outside of their place: nothing is ever unpacked")
def _(place: Path) -> None:
    archive, bundle = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../canary.txt", "x")
    with tarfile.open(fileobj=bundle, mode="w:gz") as members:
        members.addfile(tarfile.TarInfo("../../canary.txt"))
    for name, content in {"x.zip": archive, "x.tar.gz": bundle, "train-images-idx3-ubyte.gz": bundle}.items():
        (place / name).write_bytes(content.getvalue())
    shutil.copy(place / "train-images-idx3-ubyte.gz", place / "train-labels-idx1-ubyte.gz")
    blocked(place, "predict", trained() / "model", "x.zip", "x.tar.gz", codes=(3,))
    for task, data in (
        ("tabular_regression", "{name: table, path: x.zip, target: a}"),
        ("tabular_regression", "{name: table, path: x.tar.gz, target: a}"),
        ("image_classification", "{name: image_folder, path: x.zip}"),
        ("image_classification", "{name: idx, path: .}"),
        ("text_classification", "{name: texts, path: x.zip}"),
    ):
        _refused(place, task, data)


def _refused(place: Path, task: str, data: str) -> str:
    (place / "c.yaml").write_text(
        f"task: {task}\nmodel: mlp\ndata: {data}\n".replace(
            "text_classification\nmodel: mlp", "text_classification\nmodel: gru"
        )
    )
    return blocked(place, "train", "--config", "c.yaml", codes=(2, 3)).error


@ATTACKS.row("S25", "1 MB of gzip that unpacks to 1 GB: stopped by what its header and its size allow")
def _(place: Path) -> None:
    zeros = gzip.compress(bytes(2**26), 9) * 16
    images = gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 1024, 1024, 1024)) + zeros
    (place / "train-images-idx3-ubyte.gz").write_bytes(images)
    labels = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 1024))
    for content in (labels + gzip.compress(b"\0\1" * 512), labels + zeros):  # as promised; more than that
        (place / "train-labels-idx1-ubyte.gz").write_bytes(content)
        assert "-ubyte.gz: the header promises" in _refused(place, "image_classification", "{name: idx, path: .}")
    for name in ("x.csv", "x.csv.gz", "x.txt", "x.jsonl"):
        (place / name).write_bytes(zeros)
        _refused(place, "tabular_regression", f"{{name: table, path: {name}, target: a}}")
        _refused(place, "text_classification", f"{{name: texts, path: {name}}}")
    blocked(place, "predict", trained() / "model", "x.csv", "x.csv.gz", "x.txt", codes=(3,))


@ATTACKS.row("S26", ".npy and .npz with objects, .pkl, .joblib: not among the formats of data")
def _(place: Path) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + pickle.dumps(Canary(place / "canary"))
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr("arr_0.npy", array)
    raw = pickle.dumps(Canary(place / "canary"))
    for name, content in {"x.npy": array, "x.npz": bundle.getvalue(), "x.pkl": raw, "x.joblib": raw}.items():
        (place / name).write_bytes(content)
        _refused(place, "tabular_regression", f"{{name: table, path: {name}, target: a}}")
        blocked(place, "predict", trained() / "model", name, codes=(3,))
