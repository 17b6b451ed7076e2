"""Files are whole or not there, whatever happens on the way; signals ask."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dlzoo import files
from dlzoo.errors import OutputError, ResourceError, UserError
from dlzoo.interrupt import Interrupt


def fail(number: int):
    def broken(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return broken


def test_a_file_is_put_in_place_whole(tmp_path):
    path = tmp_path / "a" / "x.json"
    files.write_json(path, {"é": 1.5})
    assert json.loads(path.read_text()) == {"é": 1.5}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_old_file_survives_whatever_fails(call, tmp_path, monkeypatch):
    path = tmp_path / "x"
    files.write_text(path, "old")
    monkeypatch.setattr(os, call, fail(errno.EIO))
    with pytest.raises(OutputError, match="cannot write .*x: Input/output error"):
        files.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail(errno.ENOSPC))
    with pytest.raises(ResourceError, match=r"the disk is full \([\d,]+ MB free\)"):
        files.write_text(tmp_path / "x", "new")
    with pytest.raises(ResourceError, match="disk is full"):
        files.write(tmp_path / "y", lambda part: Path("/dev/full").write_text("x"))


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_users_passes_through(tmp_path):
    def save(part):
        raise UserError("row 3")

    with pytest.raises(UserError, match="row 3"):
        files.write(tmp_path / "x", save)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_an_impossible_name_is_refused(name, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        files.write_text(tmp_path / name, "x")


def test_a_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match="cannot write .*runs"):
        files.new_run(tmp_path / "runs", "a")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "step-1"
    with pytest.raises(RuntimeError), files.commit_folder(target) as part:
        (part / "a").write_text("1")
        assert not target.exists()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    for text in ("1", "2"):  # the second replaces the first
        with files.commit_folder(target) as part:
            (part / "a").write_text(text)
    assert (target / "a").read_text() == "2" and [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_what_a_killed_process_left_is_cleaned(tmp_path):
    code = (
        "import os; from pathlib import Path; from dlzoo import files\n"
        "with files.commit_folder(Path('step-1')) as part:\n"
        "    (part / 'a').write_text('1'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 9
    assert len(files.clean(tmp_path)) == 1 and not list(tmp_path.iterdir())


def test_a_folder_moved_aside_by_a_killed_process_comes_back(tmp_path):
    target = tmp_path / "model"
    with files.commit_folder(target) as part:
        (part / "a").write_text("old")
    code = (
        "import os; from pathlib import Path; from dlzoo import files\n"
        "rename = os.rename\n"
        "def killed(a, b):\n"
        "    if Path(b).name == 'model' and not Path(b).exists(): os._exit(9)\n"
        "    rename(a, b)\n"
        "os.rename = killed\n"
        "with files.commit_folder(Path('model')) as part: (part / 'a').write_text('new')"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 9
    assert not target.exists()
    files.clean(tmp_path)
    assert (target / "a").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_runs_are_numbered_and_never_shared(tmp_path):
    assert files.new_run(tmp_path, "a").name == "a-001"
    (tmp_path / "a-007").mkdir()
    (tmp_path / "a-x").mkdir()
    assert files.new_run(tmp_path, "a").name == "a-008"
    assert files.new_run(tmp_path, "a-b").name == "a-b-001"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        made = pool.starmap(files.new_run, [(tmp_path, "p")] * 20)
    assert len(set(made)) == 20


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_asks_and_is_an_exit_code(name, code):
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert interrupt.asked is None and interrupt.code == 0
        signal.raise_signal(getattr(signal, name))
        assert interrupt.asked == name and interrupt.code == code
        signal.raise_signal(signal.SIGTERM)  # a second one that is not Ctrl-C changes nothing
        assert interrupt.asked == name
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
