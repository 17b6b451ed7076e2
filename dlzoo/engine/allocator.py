"""The C library's allocator: what one step frees is kept for the next, and what none takes is handed back."""

import ctypes
import os
import time

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
SECONDS = 10.0
"""Between two times that memory is handed back."""


def keep_freed_memory() -> None:
    """Let the process keep freed blocks of up to 1 GiB, which glibc hands back to the kernel from 32 MiB on.

    Each step on a CPU would else fault its large activations in again, page by page: a quarter of the time of an LSTM.
    Does nothing where the environment tunes malloc itself, or the C library has no mallopt.
    """
    tuned = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not tuned:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


class Holes:
    """Freed memory that no later step takes, as batches of many lengths leave it: it may grow to several times what is
    in use. Handed back to the kernel from time to time, it costs as good as nothing.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._last = time.monotonic()

    def hand_back(self) -> None:
        """To be called often; does something every ten seconds, where the C library can."""
        if self._trim is not None and time.monotonic() - self._last > SECONDS:
            self._trim(0)
            self._last = time.monotonic()
