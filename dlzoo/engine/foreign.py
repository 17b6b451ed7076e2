"""Weights that others have trained, as named tensors: from a file, or from where they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo import jsontext
from dlzoo.engine import weights
from dlzoo.errors import ConfigError, RunError, first_few, printable

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Under what the tensors stand in files that hold more than them."""
SLACK = 2**20
"""Bytes that tensors may have beyond those of their file: some of it may be stored once for several."""


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt or .pth file, on the CPU.

    Of a file that torch has written (which is a pickle) tensors alone are read: nothing in it is run. Raises
    ConfigError for a file that is not there, RunError for one that is no such file, or claims to hold more than it has.
    """
    if not path.is_file():
        raise ConfigError([f"model.pretrained: there is no file {printable(str(path))}"])
    if path.suffix == ".safetensors":
        return weights.load(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of zip files, of unpickling, of what was refused; torch's advice is to run it anyway
        hint = "save the network's state_dict, as .safetensors best"
        raise RunError(
            f"{printable(str(path))} is no whole file of tensors alone, and no other is read; {hint}"
        ) from None
    return _tensors(found, path, path.stat().st_size)


def read_folder(folder: Path, key: str) -> dict[str, Tensor]:
    """The tensors of a folder as transformers saves it, from one .safetensors file or several; no other is read.

    Raises ConfigError, at `key`, where there is none, RunError for one that is not whole.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return weights.load(whole)
    if not index.is_file():
        hint = "transformers writes it: AutoModel.from_pretrained(FOLDER).save_pretrained(OTHER)"
        pickled = "; its pytorch_model.bin is a pickle, which is not read" if any(folder.glob("*.bin")) else ""
        raise ConfigError([f"{key}: {printable(str(folder))} has no model.safetensors{pickled}; {hint}"])
    try:
        names = sorted({str(name) for name in jsontext.load(index)["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{printable(str(index))} does not say which files the weights are in") from None
    if odd := [name for name in names if Path(name).name != name]:
        raise RunError(f"{printable(str(index))} names files that are not in its folder: {first_few(odd)}")
    return {name: tensor for part in names for name, tensor in weights.load(folder / part).items()}


def download(url: str) -> dict[str, Tensor]:
    """The tensors at an address, kept in torch's folder of downloads (TORCH_HOME).

    The hash in the name of a .pth file is compared; .safetensors files have none in theirs.
    """
    try:
        if url.endswith(".safetensors"):
            kept = Path(torch.hub.get_dir(), "checkpoints", "_".join(url.split("/")[3:]))
            kept.parent.mkdir(parents=True, exist_ok=True)
            if not kept.exists():
                torch.hub.download_url_to_file(url, str(kept))
            return weights.load(kept)
        found = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # there is no network, or no such file; or what came is not what it should be
        why = f"the weights cannot be downloaded from {url}: {printable(str(error))[:150]}"
        raise RunError(f"{why}\n  download them where you can, and set model.pretrained to the file") from None
    return _tensors(found, Path(url), 2**40)


def _tensors(found: Any, path: Path, size: int) -> dict[str, Tensor]:
    name = printable(path.name)
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise RunError(f"{name} holds no named tensors, as a state_dict does")
    if sum(value.numel() * value.element_size() for value in found.values()) > size + SLACK:
        raise RunError(f"{name} claims to hold more than its {size:,} bytes")
    return {str(key).removeprefix("module."): value for key, value in found.items()}
