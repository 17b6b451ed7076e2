"""Too much memory, or too few samples at once, in a user's words: what to make smaller or larger."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dlzoo.config import Config
from dlzoo.errors import ConfigError, ResourceError, out_of_memory


@contextmanager
def explained(config: Config) -> Iterator[None]:
    """What `in_words` knows, in a user's words."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        failure = in_words(error, config)
        if failure is error:
            raise
        raise failure from error


def in_words(error: BaseException, config: Config) -> BaseException:
    """`error`, or, where it is about memory or about a batch too small, a ResourceError or ConfigError that says what
    to try.
    """
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        at_once = f"batch_size {config.train.batch_size}, accumulate {config.train.accumulate}"
        return ConfigError(
            [f"train.batch_size: the model's batch statistics need two samples or more at once; this is {at_once}"]
        )
    if not out_of_memory(error):
        return error
    size = max(1, config.train.batch_size // 2)
    less = config.train.accumulate * 2
    return ResourceError(
        f"out of memory{_wanted(str(error))}; try train.batch_size: {size}, or train.accumulate: {less}, "
        "which changes no result"
    )


def _wanted(text: str) -> str:
    """What could not be had, where `text` says it: torch on a CPU in bytes, on CUDA and numpy in a unit."""
    found = re.search(r"allocate (\d[\d.]*) ?([KMGTP]?i?B|bytes)", text)
    if found is None:
        return ""
    size = f"{int(found[1]) / 1e6:,.0f} MB" if found[2] == "bytes" else f"{found[1]} {found[2]}"
    return f" ({size} at once)"
