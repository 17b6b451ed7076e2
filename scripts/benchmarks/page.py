"""docs/benchmarks.md: a section a row, each between marks of its own; and what the machine is."""

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.settings import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "transformers", "accelerate", "fastai")


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a section."""
    marks = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    found, count = marks.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{page}: {count} sections are marked `<!-- figures: {name} -->`, not one")
    page.write_text(found, encoding="utf-8")


def sections(page: Path) -> list[str]:
    """The names in the marks."""
    return re.findall(r"<!-- figures: (\w+) -->", page.read_text(encoding="utf-8"))


def machine() -> str:
    """Processor, cores, memory, system and versions, as lines of a list."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.system()}",
        ", ".join([f"Python {platform.python_version()}", *_versions()]),
        time.strftime("%Y-%m-%d"),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _versions() -> list[str]:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return found


def _processor() -> str:
    """The name that the kernel gives it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()
