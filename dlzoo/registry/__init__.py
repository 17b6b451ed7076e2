"""Names to constructors: MODELS, DATASETS, TASKS, each filled by the files of one package.

What a config may say (names, arguments, types, defaults, meanings) is read from the files' text (signature.py); a file
is imported only when something in it is built. This is the one place that imports by name, and only the package's own
files, installed plugins, and files that the user named with --import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dlzoo.errors import ConfigError, UserError, choose, printable
from dlzoo.registry.entry import Entry, Registered, shown
from dlzoo.registry.parameter import REQUIRED, Parameter
from dlzoo.registry.signature import entry, registered, text

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

FACTS = frozenset(
    {"in_channels", "image_size", "in_features", "vocab_size", "frames", "num_classes", "context", "categories", "out"}
    | {"target_vocab_size", "target_context"}
)
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
        self._files: dict[Path, str] = {}
        """Files to look in, and the names that Python imports them by."""

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
        """Every name, sorted; no file is imported. Raises ConfigError for a name that two files register."""
        return sorted(self._unique(found for file in self._sources() for found in self._in(file)))

    def entry(self, name: str) -> Entry:
        """What the text of its file says of `name`; no file is imported. Raises ConfigError for an unknown name."""
        found = self._find(name)
        if found is None:
            raise ConfigError([choose(name, self.names(), self.kind)])
        return entry(found)

    def entries(self) -> list[Entry]:
        """Every entry, by name."""
        return [self.entry(name) for name in self.names()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The constructor itself: imports the one file that defines it. Raises ConfigError for an unknown name."""
        if name not in self._built:
            found = self.entry(name)
            _import(found.file, self._sources()[found.file])
            if name not in self._built:
                raise ConfigError([f"{found.place}: did not register the {self.kind} '{name}' when it was imported"])
        return self._built[name]

    def load(self, path: Path, module: str | None = None) -> list[Registered]:
        """Look in the file `path` too, from now on. Raises ConfigError where it cannot be read or a name is taken."""
        file = path.resolve()
        found = self._in(file)
        if found:
            self._unique([*(other for known in self._sources() if known != file for other in self._in(known)), *found])
            named = module or f"{IMPORTED}{file.stem}_{zlib.crc32(str(file).encode()):08x}"
            self._files = {file: named, **self._sources()}
        return found

    def foreign(self) -> bool:
        """Whether something is registered that is not dlzoo's own."""
        return any(not module.startswith(f"{self.package}.") for module in self._sources().values())

    def _sources(self) -> dict[Path, str]:
        """The module of every file that registers something. Never changed, only replaced: threads read it."""
        if not self._files:
            self._files = {
                file.resolve(): f"{self.package}.{file.stem}"
                for folder in _folders(self.package)
                for file in sorted(folder.glob("*.py"))
            }
        for build in list(self._built.values()):  # a class in a script or a test, decorated by whoever runs it
            file = getattr(sys.modules.get(build.__module__), "__file__", None)
            if file and (path := Path(file).resolve()) not in self._files:
                self._files = {**self._files, path: build.__module__}
        return self._files

    def _in(self, file: Path) -> list[Registered]:
        return [found for found in registered(file) if found.kind == self.kind]

    def _find(self, name: str) -> Registered | None:
        """Where `name` is registered; only files that have it in their text are parsed."""
        files = [file for file in self._sources() if f'"{name}"' in text(file) or f"'{name}'" in text(file)]
        return self._unique(found for file in files for found in self._in(file)).get(name)

    def _unique(self, found: Iterable[Registered]) -> dict[str, Registered]:
        known: dict[str, Registered] = {}
        for new in found:
            old = known.setdefault(new.name, new)
            if old != new:
                raise ConfigError([f"{self.kind} '{new.name}' is registered twice: in {old.place} and in {new.place}"])
        return known


MODELS = Registry("model", "dlzoo.models")
DATASETS = Registry("dataset", "dlzoo.data")
TASKS = Registry("task", "dlzoo.tasks")
REGISTRIES = {registry.kind: registry for registry in (MODELS, DATASETS, TASKS)}


def load(paths: Iterable[Path]) -> list[Registered]:
    """Add what the user's own files register (`--import`). Raises ConfigError for a file that adds nothing."""
    found: list[Registered] = []
    for path in paths:
        if not os.path.isfile(path):
            raise ConfigError([f"--import {printable(str(path))}: no such file"])
        here = [found for registry in REGISTRIES.values() for found in registry.load(path)]
        if not here:
            raise ConfigError(
                [f'--import {shown(path)}: registers nothing; put @MODELS.register("name") above a class in it']
            )
        found += here
    return found


def extend(paths: Sequence[Path] | None) -> list[Path]:
    """Add installed plugins, and the files that a user names; returns those."""
    plugins()
    load(paths or [])
    return list(paths or [])


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
    try:
        if not module.startswith(IMPORTED):
            importlib.import_module(module)
        elif module not in sys.modules:
            _execute(file, module)
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
