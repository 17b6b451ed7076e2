"""Ctrl-C, SIGTERM and SIGHUP, as a flag that a loop reads between two steps."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAID = b"\nstopping after this step; press Ctrl-C again to stop without saving\n"


T = TypeVar("T")


class Stopped(Exception):  # noqa: N818
    """A signal asked in the middle of something that can be left as it is, and is done anew on the resume."""


class Interrupt:
    """The first signal asks to stop after the step under way; a second Ctrl-C stops at once.

    with Interrupt() as interrupt:
        for row in steps:
            if interrupt.asked: save and leave
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        """The name of the signal that asked, say SIGTERM; None while there was none."""
        self._number = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def code(self) -> int:
        """The exit code that says so: 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP; 0 where none asked."""
        return 128 + self._number if self.asked else 0

    def between(self, items: Iterable[T]) -> Iterator[T]:
        """`items`; raises Stopped between two of them once a signal has asked."""
        for item in items:
            if self.asked:
                raise Stopped
            yield item

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.asked, self._number = signal.Signals(number).name, number
        if number == signal.SIGINT and sys.stderr is not None and sys.stderr.isatty():
            with suppress(OSError, ValueError):  # past the stream, which the signal may have found in mid-write
                os.write(sys.stderr.fileno(), SAID)
