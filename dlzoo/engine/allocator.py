"""The C library's allocator, told to keep the memory that one step frees for the next."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""


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
