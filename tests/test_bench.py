"""scripts/bench names its rows, runs one, and writes it into its own section of a page."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


def bench(*arguments):
    command = [sys.executable, ROOT / "scripts" / "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


@pytest.fixture(scope="module")
def rows():
    done = bench("--list")
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_all_rows_are_listed(rows):
    training = ["mlp", "cnn", "gpt", "tokens"]
    assert rows == [*training, "generate", "size", "folder", "workers", "predict", "start", "forecast"]


def test_the_page_has_a_section_for_every_row(rows):
    assert re.findall(r"<!-- figures: (\w+) -->", PAGE.read_text()) == ["machine", *rows]


def test_a_row_runs_and_writes_its_own_section_alone(tmp_path):
    page = Path(shutil.copy(PAGE, tmp_path / "page.md"))
    done = bench("generate", "--small", "--rounds", "1", "--write", "--page", page)
    assert done.returncode == 0, done.stderr
    assert "both write the same tokens" in done.stdout
    before, after = (sections(file) for file in (PAGE, page))
    assert {name for name in before if before[name] != after[name]} <= {"machine", "generate"}
    assert "keys and values kept" in after["generate"]
    assert "torch" in after["machine"]


def sections(page):
    return dict(re.findall(r"<!-- figures: (\w+) -->\n(.*?)<!-- end -->", page.read_text(), re.DOTALL))


def test_a_row_that_is_not_there_is_refused():
    done = bench("speed")
    assert done.returncode == 2
    assert "no such row: speed; there are mlp, cnn" in done.stderr


def test_figures_of_a_mere_try_are_not_written_to_the_docs():
    done = bench("generate", "--small", "--write")
    assert done.returncode == 2
    assert "leave out --small" in done.stderr
