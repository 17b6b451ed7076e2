"""Names to constructors: MODELS, DATASETS, TASKS, each filled by the files of one package.

What a config may say (names, arguments, types, defaults, meanings) is read from the files' text (signature.py); a file
is imported only when something in it is built. This is the one place that imports by name, and only the package's own
files, installed plugins, and files that the user named with --import.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from dlzoo.errors import ConfigError, UserError, choose, printable
from dlzoo.parameter import REQUIRED, Parameter
from dlzoo.signature import Entry, read, shown

__all__ = [
    "DATASETS",
    "FACTS",
    "MODELS",
    "REGISTRIES",
    "REQUIRED",
    "TASKS",
    "Entry",
    "Parameter",
    "Registry",
    "load",
    "plugins",
]

FACTS = frozenset({"in_channels", "image_size", "in_features", "vocab_size", "context", "categories", "out"})
"""Parameters of a model that the builder fills from the task when the user leaves them out."""
IMPORTED = "dlzoo_imported_"
"""The start of the module names of --import files; the rest tells two files of one name apart."""


class Registry:
    """A table of named constructors.

    Put a file in the package, decorate one class in it, and its name works in every config:

        @MODELS.register("resnet")
        class ResNet(nn.Module): ...
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._built: dict[str, Callable[..., Any]] = {}
        self._entries: dict[str, Entry] | None = None
        self._modules: dict[Path, str] = {}

    def register(self, name: str) -> Callable[[Any], Any]:
        """A decorator that gives a class or function its name. Raises ConfigError where the name is taken."""

        def decorator(build: Any) -> Any:
            taken = self._built.get(name)
            if taken is not None and _place(taken) != _place(build):
                raise ConfigError(
                    [f"{self.kind} '{name}' is registered twice: in {_place(taken)} and in {_place(build)}"]
                )
            self._built[name] = build
            return build

        return decorator

    def names(self) -> list[str]:
        """Every name, sorted; no file is imported."""
        return sorted(self._known())

    def entry(self, name: str) -> Entry:
        """What the text of the file says of `name`; no file is imported. Raises ConfigError for an unknown name."""
        known = self._known()
        if name not in known:
            raise ConfigError([choose(name, known, self.kind)])
        return known[name]

    def entries(self) -> list[Entry]:
        """Every entry, by name."""
        return [self._known()[name] for name in self.names()]

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The constructor itself: imports the one file that defines it."""
        entry = self.entry(name)
        if name not in self._built:
            _import(entry.file, self._modules[entry.file])
        if name not in self._built:
            raise ConfigError([f"{entry.place}: did not register the {self.kind} '{name}' when it was imported"])
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def load(self, path: Path, module: str | None = None) -> list[Entry]:
        """Add what the file `path` registers here. Raises ConfigError where it cannot be read or a name is taken."""
        file = path.resolve()
        known = self._known()
        found = [entry for entry in read(file) if entry.kind == self.kind]
        for entry in found:
            self._add(known, entry)
            self._modules[file] = module or f"{IMPORTED}{file.stem}_{zlib.crc32(str(file).encode()):08x}"
        return found

    def _known(self) -> dict[str, Entry]:
        if self._entries is None:
            self._entries = {}
            for folder in _folders(self.package):
                for file in sorted(folder.glob("*.py")):
                    self.load(file, f"{self.package}.{file.stem}")
        for name, build in list(self._built.items()):
            if name not in self._entries:  # a class in a script or a test, decorated by whoever runs it
                self.load(Path(str(sys.modules[build.__module__].__file__)), build.__module__)
        return self._entries

    def _add(self, known: dict[str, Entry], entry: Entry) -> None:
        taken = known.setdefault(entry.name, entry)
        if (taken.file, taken.line) != (entry.file, entry.line):
            raise ConfigError(
                [f"{self.kind} '{entry.name}' is registered twice: in {taken.place} and in {entry.place}"]
            )


MODELS = Registry("model", "dlzoo.models")
DATASETS = Registry("dataset", "dlzoo.data")
TASKS = Registry("task", "dlzoo.tasks")
REGISTRIES = {registry.kind: registry for registry in (MODELS, DATASETS, TASKS)}


def load(paths: Iterable[Path]) -> list[Entry]:
    """Add what the user's own files register (`--import`). Raises ConfigError for a file that adds nothing."""
    found: list[Entry] = []
    for path in paths:
        if not path.is_file():
            raise ConfigError([f"--import {printable(str(path))}: no such file"])
        here = [entry for registry in REGISTRIES.values() for entry in registry.load(path)]
        if not here:
            raise ConfigError(
                [f'--import {shown(path)}: registers nothing; put @MODELS.register("name") above a class in it']
            )
        found += here
    return found


def plugins() -> None:
    """Add what installed packages offer under the entry point `dlzoo.plugins`: a module, or a package of modules."""
    from importlib.metadata import entry_points  # reads every installed package's list: 20 ms

    for point in entry_points(group="dlzoo.plugins"):
        try:
            spec = importlib.util.find_spec(point.module)
        except ImportError:
            spec = None
        if spec is None or not spec.origin:
            raise ConfigError(
                [f"plugin '{point.name}': no module {point.module}; reinstall or remove the package that offers it"]
            )
        folders = [Path(folder) for folder in spec.submodule_search_locations or []]
        files = {Path(spec.origin): point.module}
        files |= {
            f: f"{point.module}.{f.stem}" for folder in folders for f in folder.glob("*.py") if f.stem != "__init__"
        }
        for file, module in sorted(files.items()):
            for registry in REGISTRIES.values():
                registry.load(file, module)


def _folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in spec.submodule_search_locations or []] if spec else []


def _import(file: Path, module: str) -> None:
    """Import one file, under the name that Python knows it by; what goes wrong in it is reported at its own line."""
    if module in sys.modules:
        return
    try:
        if module.startswith(IMPORTED):
            _execute(file, module)
        else:
            importlib.import_module(module)
    except UserError:
        raise
    except Exception as error:
        import traceback

        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f"{shown(file)}:{lines[-1]}" if lines else shown(file)
        raise ConfigError([f"{place}: cannot be imported: {type(error).__name__}: {error}"]) from error


def _execute(file: Path, module: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[module]
        raise
    return loaded


def _place(build: Any) -> str:
    return f"{build.__module__}.{build.__qualname__}"
