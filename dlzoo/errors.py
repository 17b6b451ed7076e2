"""Every mistake a user can make, as exceptions that say what is wrong, where, and what to do, with an exit code."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something only the user can mend: printed as `error: ...` without a traceback. Exit code 2 (usage or config)."""

    code = 2


class ConfigError(UserError):
    """One or more mistakes in a config, each already worded as `file:line:col: what; did you mean; what is allowed`."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(UserError):
    """A file that is missing or unreadable, a bad row, an empty split. Names the file and, if there is one, the row."""

    code = 3


class WrongKind(DataError):  # noqa: N818
    """A file where a folder is wanted, or the other way round; a mistake in the config where that gives the path."""

    def __init__(self, path: object, wanted: str):
        super().__init__(f"{printable(str(path))}: {wanted}.")
        self.path, self.wanted = str(path), wanted


class RunError(UserError):
    """A run or a checkpoint that is not there, is damaged, or does not fit what was asked."""

    code = 4


class Diverged(UserError):  # noqa: N818
    """A loss or a gradient that is not finite; raised before the update, so the weights are still good."""

    code = 5


class ResourceError(UserError):
    """Out of memory or disk, a worker or a process that died."""

    code = 6


class OutputError(UserError):
    """An output folder that cannot be made, written or locked."""

    code = 7


class BelowBar(UserError):  # noqa: N818
    """A metric below the bar of `--min`, or some inputs of `predict` that could not be answered."""

    code = 8


def out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was short; torch says so in a RuntimeError."""
    text = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text.lower()


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """` Did you mean 'x'?` where an option is close to `name`, else an empty string."""
    plain = {str(option).lower().replace("-", "_"): option for option in options}
    close = difflib.get_close_matches(str(name)[:100].lower().replace("-", "_"), plain, n=1, cutoff=0.5)
    return f" Did you mean '{plain[close[0]]}'?" if close else ""


def choose(name: object, options: Iterable[str], kind: str) -> str:
    """A sentence that helps someone who wrote `name` where one of `options` was meant."""
    options = sorted(options)
    return f"unknown {kind} '{printable(str(name))}'.{did_you_mean(name, options)} Choose from: {', '.join(options)}."


def printable(text: str) -> str:
    """`text` with control and direction characters escaped, so that a name from a file cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(items: list[str], count: int | None = None) -> str:
    """The first five of `items` and how many there are: `a, b, c, d, e and 12 more`."""
    count = len(items) if count is None else count
    shown = ", ".join(printable(item) for item in items[:5])
    return shown + (f" and {count - 5:,} more" if count > 5 else "")
