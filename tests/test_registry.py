"""What the registries know without importing anything, and what newcomers' files may do."""

import inspect
import subprocess
import sys
import time
import typing
from pathlib import Path

import pytest

from dlzoo import registry
from dlzoo.errors import ConfigError
from dlzoo.registry import DATASETS, MODELS, REGISTRIES, TASKS, Registry
from dlzoo.registry.entry import PACKAGE
from dlzoo.registry.parameter import REQUIRED, arguments

ENTRIES = [entry for registry in REGISTRIES.values() for entry in registry.entries()]
MODEL = '''"""Tiny: a model for a test (Nobody, 2026)."""

from typing import Literal

from torch import Tensor, nn

from dlzoo.features import Features
from dlzoo.registry import MODELS

Shape = Literal["round", "square"]


@MODELS.register("tiny")
class Tiny(nn.Module):
    """Anything (B, F) to a vector (B, dim).

    Args:
        in_features: width of the input
        dim: width of the
            features
        shape: of the thing
    """

    def __init__(self, in_features: int, dim: int = 4, *, shape: Shape = "round", rate: float | None = None):
        super().__init__()
        self.features = Features("vector", dim)

    def forward(self, x: Tensor) -> Tensor:
        return x
'''


@pytest.fixture
def fresh(monkeypatch):
    """The registries may be added to, and are as before afterwards."""
    for known in REGISTRIES.values():
        monkeypatch.setattr(known, "_files", dict(known._sources()))
        monkeypatch.setattr(known, "_built", dict(known._built))


def put(folder: Path, text: str, name: str = "tiny.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_what_is_read_is_what_python_sees(entry):
    build = REGISTRIES[entry.kind][entry.name]
    call = build.__init__ if inspect.isclass(build) else build
    hints = typing.get_type_hints(call, include_extras=True)
    seen = list(inspect.signature(build).parameters.values())
    assert [parameter.name for parameter in entry.parameters] == [p.name for p in seen]
    for parameter, real in zip(entry.parameters, seen, strict=True):
        assert parameter.type == hints[parameter.name], parameter
        default = REQUIRED if real.default is real.empty else real.default
        assert parameter.default == default and type(parameter.default) is type(default), parameter
    assert entry.doc == inspect.getdoc(build).partition("\n")[0]
    if inspect.isclass(build):
        assert entry.class_name == build.__name__
        for name, value in entry.attributes.items():
            assert getattr(build, name) == value, name
    if entry.kind == "model":
        assert list(entry.forward) == list(inspect.signature(build.forward).parameters)[1:]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_argument_has_one_line_of_meaning(entry):
    assert entry.doc and entry.paper
    for parameter in entry.parameters:
        assert parameter.doc, f"{entry.place}: {parameter.name} stands in no `Args:`"
    extra = arguments(inspect.getdoc(REGISTRIES[entry.kind][entry.name])).keys() - {p.name for p in entry.parameters}
    assert not extra, f"{entry.place}: {extra} is in `Args:` only"


def test_names_and_signatures_are_read_without_importing_anything_heavy():
    code = (
        "import sys; from dlzoo.registry import REGISTRIES\n"
        "for registry in REGISTRIES.values(): registry.entries()\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'sklearn', 'PIL', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_reading_every_name_is_fast():
    code = (
        "import time; from dlzoo.registry import REGISTRIES; start = time.process_time()\n"
        "for registry in REGISTRIES.values(): registry.names()\n"
        "print(time.process_time() - start)"
    )
    run = [sys.executable, "-c", code]
    assert min(float(subprocess.run(run, capture_output=True, text=True).stdout) for _ in range(3)) < 0.15


def test_asking_for_one_model_imports_its_file_alone():
    code = (
        "import sys; from dlzoo.registry import MODELS; MODELS['lenet']\n"
        "print(sorted(name for name in sys.modules if name.startswith('dlzoo.models.')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        == "['dlzoo.models.lenet']\n"
    )


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ConfigError, match=r"unknown model 'resnt'. Did you mean 'resnet'\? Choose from: "):
        MODELS["resnt"]
    assert "resnt" not in MODELS and "resnet" in MODELS and 3 not in MODELS


def test_a_file_of_the_users_adds_its_names(tmp_path, fresh):
    registry.load([put(tmp_path, MODEL)])
    entry = MODELS.entry("tiny")
    assert entry.paper == "Tiny: a model for a test (Nobody, 2026)."
    assert [(p.name, p.type, p.default, p.doc) for p in entry.parameters] == [
        ("in_features", int, REQUIRED, "width of the input"),
        ("dim", int, 4, "width of the features"),
        ("shape", typing.Literal["round", "square"], "round", "of the thing"),
        ("rate", float | None, None, ""),
    ]
    assert entry.kinds == ("vector",) and entry.causal is False
    assert MODELS["tiny"](3).features.dim == 4
    registry.load([tmp_path / "tiny.py"])  # twice is as good as once


def test_two_files_of_one_name_are_two_modules(tmp_path, fresh):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    registry.load([put(tmp_path / "a", MODEL), put(tmp_path / "b", MODEL.replace('"tiny"', '"tiny2"'))])
    assert MODELS["tiny"] is not MODELS["tiny2"]


def test_a_name_that_is_taken_is_an_error_that_names_both_places(tmp_path, fresh):
    path = put(tmp_path, MODEL.replace('"tiny"', '"lenet"'))
    with pytest.raises(
        ConfigError, match=r"'lenet' is registered twice: in dlzoo/models/lenet.py:\d+ and in .*tiny.py:14"
    ):
        registry.load([path])
    assert MODELS.entry("lenet").file == PACKAGE / "models" / "lenet.py"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@MODELS.register(\ndef", r"tiny.py:\d: not valid Python"),
        ("x = 1", "registers nothing"),
        (MODEL.replace("dim: int = 4", "dim=4"), "tiny.py:24: argument 'dim' has no type"),
        (
            MODEL.replace("dim: int = 4", "dim: Tensor = 4"),
            "tiny.py:24: the type Tensor is not one that a config can hold",
        ),
        (MODEL.replace("dim: int = 4", "dim: int = 2 * 2"), r"tiny.py:24: the default 2 \* 2 is not a literal"),
        (MODEL.replace("dim: int = 4, *,", "*dims: int,"), r"takes \*args or \*\*kwargs"),
        (MODEL.replace('register("tiny")', "register(NAME)"), "must be a plain string"),
        (MODEL.replace("import Tensor", "import Tensro, Tensor"), "tiny.py:5: cannot be imported: ImportError"),
        (MODEL.replace('"vector", dim', "1 / 0"), ""),
    ],
)
def test_a_broken_file_is_named_with_its_line(text, message, tmp_path, fresh):
    path = put(tmp_path, text)
    if not message:  # what fails while a model is built is for the builder to word
        registry.load([path])
        assert MODELS["tiny"]
        return
    with pytest.raises(ConfigError, match=message):
        registry.load([path])
        MODELS.entry("tiny")
        MODELS["tiny"]


def test_a_missing_import_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        registry.load([tmp_path / "none.py"])


def test_a_class_decorated_in_a_script_is_known_at_once(tmp_path):
    script = put(tmp_path, MODEL + "\n\nprint(MODELS.entry('tiny').doc, MODELS['tiny'] is Tiny)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout == "Anything (B, F) to a vector (B, dim). True\n", done.stderr


def test_a_plugin_adds_its_names(tmp_path, fresh, monkeypatch):
    put(tmp_path, MODEL, "tiny_plugin.py")
    info = tmp_path / "tiny_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dlzoo.plugins]\ntiny = tiny_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.plugins()
    assert MODELS.entry("tiny").file == (tmp_path / "tiny_plugin.py").resolve() and "tiny_plugin" not in sys.modules
    assert MODELS["tiny"].__module__ == "tiny_plugin"
    (info / "entry_points.txt").write_text("[dlzoo.plugins]\ntiny = tiny_missing\n")
    with pytest.raises(ConfigError, match="plugin 'tiny': no module tiny_missing"):
        registry.plugins()


def test_a_registry_of_another_package_works_alike(tmp_path, monkeypatch):
    package = tmp_path / "rooms"
    package.mkdir()
    put(package, "", "__init__.py")
    put(package, MODEL.replace("from dlzoo.registry import MODELS", "from rooms.table import MODELS"))
    put(package, 'from dlzoo.registry import Registry\n\nMODELS = Registry("model", "rooms")\n', "table.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry("model", "rooms").names() == ["tiny"]


def test_no_registry_is_empty():
    assert len(TASKS.names()) >= 6 and len(MODELS.names()) >= 14 and len(DATASETS.names()) >= 12


def test_importlib_stays_in_the_registry():  # S09: nothing else can turn a name from a file into code
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        if file != PACKAGE / "registry" / "__init__.py":
            assert "importlib" not in text.replace("importlib.metadata", "").replace("importlib.resources", ""), file
        assert "eval(" not in text.replace(".eval(", "").replace("literal_eval(", "").replace("_eval(", ""), file
        assert "torch.load" not in text or file == PACKAGE / "engine" / "foreign.py", file  # tensors alone, tried there


def test_reading_is_cached_within_a_process():
    TASKS.entries()
    start = time.process_time()
    TASKS.entries()
    assert time.process_time() - start < 0.05
