"""Out of memory, in a user's words: what to make smaller."""

from collections.abc import Iterator
from contextlib import contextmanager

from dlzoo.config import Config
from dlzoo.errors import ResourceError


@contextmanager
def explained(config: Config) -> Iterator[None]:
    """Out of memory, in a user's words."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        failure = in_words(error, config)
        if failure is error:
            raise
        raise failure from error


def in_words(error: BaseException, config: Config) -> BaseException:
    """`error`, or, where it is about memory, a ResourceError that says what to try."""
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text.lower():
        size = max(1, config.train.batch_size // 2)
        less = config.train.accumulate * 2
        return ResourceError(
            f"out of memory; try train.batch_size: {size}, or train.accumulate: {less}, which changes no result"
        )
    return error
