"""Named tensors to a safetensors file and back: contiguous, shared ones stored once, no pickle."""

import json
from pathlib import Path

import torch
from torch import Tensor

from dlzoo.errors import RunError, printable


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
    save_file(_apart(kept), path, metadata={"aliases": json.dumps(aliases)})


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `save` wrote, on the CPU. Raises RunError for a file that is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            aliases = json.loads((file.metadata() or {}).get("aliases", "{}"))
        return tensors | {name: tensors[same] for name, same in aliases.items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(f"{printable(str(path))} is not a readable safetensors file: {error}") from error


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Views of one storage copied: the format has neither views nor overlaps."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.numel() * tensor.element_size():
            tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
    return tensors
