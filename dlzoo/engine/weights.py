"""Named tensors: chosen by a pattern; to a safetensors file and back, shared ones stored once, no pickle."""

import fnmatch
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from dlzoo import jsontext
from dlzoo.errors import ConfigError, RunError, first_few, printable

LARGEST_HEADER = 16_000_000
"""Bytes of names, shapes and places; a hundred thousand tensors have about 10 MB of them."""


def named(weights: Iterable[str], pattern: str, key: str) -> list[str]:
    """The names that a pattern with * and ? matches. Raises ConfigError, at `key`, for one that matches none."""
    names = list(weights)
    if not (found := fnmatch.filter(names, pattern)):
        known = f"the names are {first_few(names)}"
        raise ConfigError([f"{key}: no weight is called '{printable(pattern)}'; {known}"])
    return found


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write `tensors`; names that share one tensor (tied weights) are stored once and listed in the file's header."""
    from safetensors.torch import save_file

    first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        where = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() and (same := first.setdefault(where, name)) != name:
            aliases[name] = same
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if name not in aliases}
    save_file(_apart(kept), path, metadata={"aliases": jsontext.dumps(aliases)})


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `save` wrote, on the CPU.

    Raises RunError for a file that is not whole, or that `save` did not write: nothing in it is trusted. The format's
    library checks that each tensor has the bytes that its shape and type ask for, without a gap or an overlap.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as start:
            if (header := int.from_bytes(start.read(8), "little")) > LARGEST_HEADER:
                raise ValueError(f"a header of {header:,} bytes, more than {LARGEST_HEADER:,}")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            aliases = jsontext.loads((file.metadata() or {}).get("aliases", "{}"))
        return tensors | {name: tensors[same] for name, same in dict(aliases).items()}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{printable(str(path))} is not a readable safetensors file: {printable(str(error))[:200]}"
        ) from error


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Views of one storage copied: the format has neither views nor overlaps."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.numel() * tensor.element_size():
            tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
    return tensors
