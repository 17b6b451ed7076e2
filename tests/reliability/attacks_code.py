"""Attacks that want code of their own to be imported, and what dlzoo's own code may not do at all."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from reliability.attack import ATTACKS, DIGITS, blocked
from reliability.command import start
from reliability.table import Skipped

ROOT = Path(__file__).parents[2]
MODULES = {
    *("importlib", "pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "imp", "runpy", "code"),
    *("pkgutil", "jsonpickle", "tarfile", "zipfile", "socketserver", "http", "urllib", "requests", "ftplib", "xmlrpc"),
}
"""Modules that run or unpack what they are given, or go out into the net."""
CALLS = {"eval", "exec", "compile", "__import__", "globals", "breakpoint"}
"""Built-in functions that turn text into code."""
ATTRIBUTES = {
    *("torch.load", "torch.jit", "torch.hub", "np.load", "numpy.load", "np.memmap", "yaml.load", "yaml.unsafe_load"),
    *("yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CSafeLoader", "os.system", "os.popen", "sys.path"),
    *("pd.read_pickle", "pd.eval", "dist.all_gather_object", "dist.broadcast_object_list", "dist.gather_object"),
}
"""Functions of libraries that load pickles or run text."""
ALLOWED = {
    "dlzoo/__main__.py": {"sys.path": "takes the working folder out"},
    "dlzoo/registry/__init__.py": {
        "importlib": "the package's own files, installed plugins, and what a user names with --import"
    },
    "dlzoo/registry/signature.py": {"getattr": "of choices.py, by a name that stands in a file of Python"},
    "dlzoo/data/yolo.py": {"yaml.load": "with BaseLoader, which makes text of every value"},
    "dlzoo/schema/writer.py": {"getattr": "fields of our own dataclasses"},
    "dlzoo/terminal.py": {"getattr": "a stream hands on what it does not know"},
    "dlzoo/layers/low_rank.py": {"getattr": "names that stand in the file"},
    "dlzoo/models/torchvision_video.py": {"getattr": "a tuple of names beside it"},
    "dlzoo/run/forked.py": {"getattr": "a tuple of names beside it"},
    "dlzoo/run/kill.py": {"getattr": "a key of POINTS, whose names stand beside it"},
    "dlzoo/run/train.py": {"getattr": "a tuple of names beside it"},
    "dlzoo/run/resolve.py": {"subprocess": "asks git for the commit"},
    "dlzoo/engine/foreign.py": {
        "torch.load": "weights of others, tensors alone: weights_only is set",
        "torch.hub": "the same, from an address of torchvision's, where the user asks for it",
    },
    "dlzoo/data/torchvision.py": {"getattr": "a key of SETS, checked by its Literal and looked up there first"},
}
"""Where something of it is needed, and why."""


@ATTACKS.row("S10", "class paths in a config: keys and names are looked up in tables, nothing is imported")
def _(place: Path) -> None:
    (place / "evil.py").write_text("open('canary', 'w')\n")
    head = "task: image_classification\ndata: digits\nmodel: "
    for model in (
        "{_target_: os.system, name: mlp}",
        "{class_path: evil.Evil, init_args: {a: 1}, name: mlp}",
        "{name: mlp, _instantiator: evil.main}",
        "{name: evil}",
        "{name: evil.Evil}",
        "{name: torch.nn.Linear}",
        "{name: ../evil}",
        "{name: dlzoo.models.mlp}",
        "!!python/object/apply:os.system [touch canary]",
        "!!python/module:evil",
        "${oc.env:HOME}",
        "{name: mlp, activation: os.system}",
    ):
        (place / "c.yaml").write_text(f"{head}{model}\n")
        blocked(place, "train", "--config", "c.yaml", codes=(2,))
        blocked(place, "train", "--config", "c.yaml", "--set", f"model={model}", codes=(2,))


@ATTACKS.row("S11", "in the package's text: no import by name, no eval, no pickle, no attribute named by a value")
def _(place: Path) -> None:
    found = {
        (str(file.relative_to(ROOT)), what, line)
        for file in sorted((ROOT / "dlzoo").rglob("*.py"))
        for what, line in _dangers(ast.parse(file.read_text()))
    }
    strange = [f"{file}:{line}: {what}" for file, what, line in sorted(found) if what not in ALLOWED.get(file, {})]
    assert not strange, strange
    used = {(file, what) for file, what, _ in found}
    needless = [f"{file}: {what}" for file, reasons in ALLOWED.items() for what in reasons if (file, what) not in used]
    assert not needless, f"no longer needed: {needless}"


def _dangers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((name.name.split(".")[0], node.lineno) for name in names if _dangerous(name.name))
            case ast.ImportFrom(module=str(module)) if _dangerous(module):
                yield module.split(".")[0], node.lineno
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name, node.lineno
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "delattr"), args=[_, name, *_]):
                if not isinstance(name, ast.Constant):
                    yield "getattr", node.lineno
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if f"{owner}.{name}" in ATTRIBUTES:
                yield f"{owner}.{name}", node.lineno
            case ast.keyword(arg="shell" | "allow_pickle", value=ast.Constant(value=True)):
                yield f"{node.arg}=True", node.lineno


def _dangerous(module: str) -> bool:
    return module.split(".")[0] in {*MODULES, "subprocess"}


@ATTACKS.row("S29", "a torch.py, yaml.py or json.py beside the config or among the data is not imported")
def _(place: Path) -> None:
    for folder in (place, place / "data"):
        folder.mkdir(exist_ok=True)
        for name in ("torch", "yaml", "numpy", "json", "typer", "sklearn", "PIL", "pydantic", "sitecustomize"):
            (folder / f"{name}.py").write_text(f"open({str(place / 'canary')!r}, 'w')\nraise SystemExit('canary')\n")
    (place / "c.yaml").write_text(DIGITS)
    script = Path(sys.executable).with_name("dlzoo")
    commands = [[sys.executable, "-m", "dlzoo"], *([[str(script)]] if script.exists() else [])]
    for command in commands:
        for folder, config in ((place, "c.yaml"), (place / "data", "../c.yaml")):
            whole = command is commands[-1] and folder is place  # once with all of torch, which takes seconds
            arguments = ["check", "--config", config] if whole else ["check", "--config", config, "--set", "x=1"]
            ended = _process([*command, *arguments], folder)
            assert not (place / "canary").exists(), f"{command} has imported a module of {folder.name}"
            assert ended.returncode == (0 if whole else 2), ended.stderr[-600:]


def _process(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@ATTACKS.row("S30", "a training of one process opens no port")
def _(place: Path) -> None:
    if not Path("/proc/net/tcp").exists():
        raise Skipped("open ports are read from /proc, which Linux has")
    (place / "c.yaml").write_text(DIGITS.replace("steps: 4", "steps: 100000").replace("every: 2}", "every: 100000}"))
    running = start("train", "--config", "c.yaml", cwd=place)
    try:
        running.until(lambda: bool(list(place.glob("runs/c-001/checkpoints/step-*"))))
        assert not (found := listening(running.pid)), found
    finally:
        running.send(signal.SIGTERM)
    assert running.wait().code == 143, running.error


def listening(pid: int) -> list[str]:
    """Local addresses, as /proc writes them, on which a process or one of its children waits for others."""
    pids = [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    links = {os.readlink(link) for one in pids for link in Path(f"/proc/{one}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in links]
