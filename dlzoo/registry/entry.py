"""What is known of a registered constructor before its file is run; signature.py reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlzoo.registry.parameter import Parameter

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Registered:
    """A name, and where it is registered."""

    kind: str
    name: str
    file: Path
    line: int

    @property
    def place(self) -> str:
        """Where a reader finds it: file:line."""
        return f"{shown(self.file)}:{self.line}"


@dataclass(frozen=True)
class Entry(Registered):
    """What can be known of a registered constructor without running its file."""

    class_name: str
    doc: str
    """First line of the class's docstring: its shapes."""
    paper: str
    """First line of the file's docstring: name and paper."""
    parameters: tuple[Parameter, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    """Class attributes with literal values, inherited ones too: needs, accepts, causal, gives ..."""
    forward: tuple[str, ...] = ()
    """Parameters of `forward`; empty where there is none."""
    facts: tuple[str, ...] = ()
    """Keys that `facts` can return, as far as they stand in its text."""
    kinds: tuple[str, ...] = ()
    """Kinds of features that the class can promise, as far as they stand in its text; empty where that is unknown."""
    causal: bool | None = None
    """Whether the features never, or always, see the future; None where an argument decides."""

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, if there is one."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


def shown(file: Path) -> str:
    """`file` as one would type it: from the package's parent for our own files, from here for those below."""
    for root in (PACKAGE.parent, Path.cwd()):
        if file.is_relative_to(root):
            return str(file.relative_to(root))
    return str(file)
