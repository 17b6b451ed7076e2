"""What the documentation shows is so: generated pages are current, examples run, the README's commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
DLZOO = [sys.executable, "-m", "dlzoo"]


def run(command, cwd, **kwargs):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kwargs)


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_generated_pages_are_current():
    done = run([sys.executable, "scripts/reference", "--check"], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["model", "dataset", "task"])
def test_the_example_of_adding_one_runs_as_it_stands(what, tmp_path):
    page = ROOT / "docs" / f"adding-a-{what}.md"
    for language in ("python", "yaml"):
        (block,) = blocks(page, language)
        (tmp_path / block.splitlines()[0].lstrip("# ")).write_text(block)
    rows = [{"heat": i % 7 + 0.5, "site": "ab"[i % 2], "failed": ["no", "yes"][i % 7 > 3]} for i in range(80)]
    (tmp_path / "readings.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (command,) = (shlex.split(line) for block in blocks(page, "sh") for line in block.splitlines())
    done = run([*DLZOO, *command[1:]], tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/*/model/model.safetensors"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder like a fresh checkout, with the pictures of the README's first example."""
    home = tmp_path_factory.mktemp("home")
    for name in ("configs", "docs", "scripts", "dlzoo"):
        (home / name).symlink_to(ROOT / name)
    for name, level in (("rose", 60), ("tulip", 200)):
        folder = home / "flowers" / name
        folder.mkdir(parents=True)
        for i in range(20):
            Image.fromarray(numpy.full((32, 32, 3), level + i, numpy.uint8)).save(folder / f"{i}.jpg")
    shutil.copytree(home / "flowers" / "rose", home / "holiday")
    shutil.copy(home / "holiday" / "0.jpg", home / "photo.jpg")
    (example,) = (block for block in blocks(ROOT / "README.md", "yaml") if "flowers" in block)
    (home / "flowers.yaml").write_text(example)
    return home


def readme_commands():
    lines = [line for block in blocks(ROOT / "README.md", r" *console") for line in block.splitlines()]
    return [line.strip()[2:].split("   ")[0] for line in lines if line.startswith("$ dlzoo")]


def test_the_readme_shows_commands():
    assert len(readme_commands()) >= 8


def test_the_commands_of_the_readme_run(home):
    for command in readme_commands():
        quick = " --set train.epochs=1" if command.startswith("dlzoo train") else ""
        done = run(["bash", "-c", command.replace("dlzoo", shlex.join(DLZOO), 1) + quick], home)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_demo_runs(home):
    environment = os.environ | {
        "DLZOO_SKIP_INSTALL": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    copy = home / "copy"
    copy.mkdir()
    for name in ("configs", "docs", "dlzoo"):
        (copy / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    done = run(["bash", "scripts/demo"], copy, env=environment)
    assert done.returncode == 0, done.stderr
    assert "That was the whole job" in done.stdout
    assert (copy / "runs/demo-001/figures/confusion.png").exists()
