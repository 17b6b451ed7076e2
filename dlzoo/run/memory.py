"""Too much memory, or too few samples at once, in a user's words: what to make smaller or larger."""

from collections.abc import Iterator
from contextlib import contextmanager

from dlzoo.config import Config
from dlzoo.errors import ConfigError, ResourceError


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
    text = str(error)
    if isinstance(error, ValueError) and "more than 1 value per channel" in text:
        at_once = f"batch_size {config.train.batch_size}, accumulate {config.train.accumulate}"
        return ConfigError(
            [f"train.batch_size: the model's batch statistics need two samples or more at once; this is {at_once}"]
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text.lower():
        size = max(1, config.train.batch_size // 2)
        less = config.train.accumulate * 2
        return ResourceError(
            f"out of memory; try train.batch_size: {size}, or train.accumulate: {less}, which changes no result"
        )
    return error
