"""How the program meets a terminal or a pipe: what is said of an error, with which exit code, and when nobody reads."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from dlzoo.errors import ConfigError, UserError, out_of_memory, printable

MOST = 20
"""Mistakes of one config that are printed."""


class Gone(Exception):  # noqa: N818
    """Nobody reads our output any more."""


class Stream:
    """stdout or stderr whose reader may leave (`| head`, a closed terminal), or may never have been there (`>&-`).

    A stream that lasts goes on into nothing, so that a training outlives whoever watches it; others raise Gone.
    """

    def __init__(self, stream: Any, lasts: bool = False):
        self.stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115
        self.lasts = lasts

    def write(self, text: str) -> int:
        """Write `text`, if anyone reads."""
        with self._watched():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if anyone reads."""
        with self._watched():
            self.stream.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            if not self.lasts:
                raise Gone from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def watched() -> Iterator[None]:
    """Stdout and stderr as Streams."""
    sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr, lasts=True)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout.flush()


def outlast() -> None:
    """From now on nothing is given up because nobody watches."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.lasts = True


@contextmanager
def guarded() -> Iterator[None]:
    """Words and an exit code for whatever goes wrong: a user's mistake never shows a traceback."""
    try:
        yield
    except UserError as error:
        _fail(error, _wording(error), error.code)
    except KeyboardInterrupt as error:
        _fail(error, "stopped by Ctrl-C", 130)
    except Gone:
        sys.exit(141)  # as a program that SIGPIPE ends
    except Exception as error:
        if out_of_memory(error):
            _fail(error, "error: out of memory; try a smaller --batch-size, or in a config train.batch_size", 6)
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        _fail(
            error,
            f"error: a bug in dlzoo: {type(error).__name__}: {printable(str(error))} ({place}). Please report it; "
            "DLZOO_DEBUG=1 shows the traceback.",
            1,
        )


def _wording(error: UserError) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, ConfigError) and len(lines) > 1:
        more = [f"  ... and {len(lines) - MOST} more"] if len(lines) > MOST else []
        return "\n".join([f"error: {len(lines)} mistakes", *(f"  {printable(line)}" for line in lines[:MOST]), *more])
    return "error: " + "\n".join(map(printable, lines))


def _fail(error: BaseException, message: str, code: int) -> NoReturn:
    if os.environ.get("DLZOO_DEBUG") == "1":
        traceback.print_exception(error)
    with suppress(OSError, ValueError):
        print(message, file=sys.stderr)
    sys.exit(code)
