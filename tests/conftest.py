"""What many tests share: the command line, called in this process."""

import sys

import pytest

from dlzoo import cli


@pytest.fixture
def dlzoo(capsys, monkeypatch):
    """Call the console script; returns exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dlzoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call
