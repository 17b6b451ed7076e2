"""A language model as transformers saves one: a folder with config.json, model.safetensors and tokenizer.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlzoo import jsontext
from dlzoo.errors import ConfigError, printable
from dlzoo.transforms.tokenizer_file import FILE, FromFile

HUB = "hub:"
"""In front of OWNER/NAME: the one way to the network, which nobody goes by a folder that is misspelt."""
DESCRIPTION = "config.json"
WRITING = "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FETCHED = (DESCRIPTION, WRITING, "model*.safetensors", INDEX, FILE, "tokenizer_config.json")
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}
"""transformers' names, and ours."""
LM = re.compile("LMHead|ForCausalLM|ForMaskedLM|BertForPreTraining")
"""In the name of an architecture that gives scores of tokens."""


@cache
def find(source: str, key: str) -> Path:
    """The folder that a config names at `key`; that of `hub:OWNER/NAME` is fetched from the Hugging Face hub.

    Raises ConfigError where there is none.
    """
    if not source.startswith(HUB):
        if not (folder := Path(source)).is_dir():
            hint = f"name one with {DESCRIPTION}, model.safetensors and {FILE}, or {HUB}OWNER/NAME to fetch one"
            raise ConfigError([f"{key}: there is no folder {printable(source)}; {hint}"])
        return folder
    name = source.removeprefix(HUB)
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(FETCHED)))
    except ImportError as error:
        raise ConfigError(
            [f"{key}: {HUB} needs a package that is not here ({error}): pip install 'dlzoo[hf]'"]
        ) from None
    except Exception as error:  # there is no network, no such model, or it is not open to all
        why = printable(str(error).partition("\n")[0])[:200]
        raise ConfigError([f"{key}: '{printable(name)}' cannot be had from the hub: {why}"]) from None


def described(source: str, key: str) -> dict[str, Any]:
    """What config.json says of the network. Raises ConfigError where there is none."""
    file = find(source, key) / DESCRIPTION
    try:
        found = jsontext.load(file)
        if not isinstance(found["model_type"], str):
            raise ValueError("its model_type is no text")
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {printable(str(error))[:100]}"
        raise ConfigError([f"{key}: {printable(str(file))} is no description of a network ({why})"]) from None


def writing(source: str, key: str) -> dict[str, Any]:
    """What a folder says of how its network writes: in generation_config.json, or in config.json as it once was."""
    file = find(source, key) / WRITING
    try:
        said = described(source, key) | (jsontext.load(file) if file.is_file() else {})
        return {name: value for name, value in said.items() if value is not None}
    except (OSError, ValueError, TypeError) as error:
        why = f"{type(error).__name__}: {printable(str(error))[:100]}"
        raise ConfigError([f"{key}: {printable(str(file))} does not say how texts are written ({why})"]) from None


def weights(source: str, key: str) -> set[str]:
    """The names of a folder's weights, as far as they can be read."""
    from safetensors import SafetensorError, safe_open

    folder = find(source, key)
    try:
        if (folder / INDEX).is_file():
            return set(jsontext.load(folder / INDEX)["weight_map"])
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return set(file.keys())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return set()  # what is wrong with them is said when they are loaded


def tokenizer(source: str, key: str) -> FromFile:
    """The tokenizer that the model was trained with. Raises ConfigError where there is none."""
    folder = find(source, key)
    if not (folder / FILE).is_file():
        hint = "transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        raise ConfigError([f"{key}: {printable(str(folder))} has no {FILE}; {hint}"])
    own = FromFile(str(folder))
    own.fit([])
    return own


def sizes(description: dict[str, Any], key: str, names: Mapping[str, str], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of our own network, by `names` (ours: theirs). `fixed` has what is always so in ours.

    Raises ConfigError, at `key`, for a network that is otherwise.
    """
    for name, value in fixed.items():
        if description.get(name, value) != value:
            told = f"{name} is {printable(str(description[name]))} in {DESCRIPTION}, and {value} in this network"
            raise ConfigError([f"{key}: {told}; model: hf takes it as it is"])
    if missing := [name for name in names.values() if name not in description]:
        raise ConfigError([f"{key}: {DESCRIPTION} does not say {', '.join(missing)}"])
    found = {ours: description[theirs] for ours, theirs in names.items()}
    if "activation" in found:
        if found["activation"] not in ACTIVATIONS:
            raise ConfigError([f"{key}: activation '{printable(str(found['activation']))}' is not known here"])
        found["activation"] = ACTIVATIONS[found["activation"]]
    return found


def has_lm_head(description: dict[str, Any]) -> bool:
    """Whether the weights that a config.json describes have those with which tokens are scored."""
    return any(LM.search(str(name)) for name in description.get("architectures") or ())


def reordered(rows: Tensor, order: np.ndarray) -> Tensor:
    """Rows (N, ...), one for each of the model's tokens, in the order of ours (V,): the mean where it has none."""
    known = torch.from_numpy((order >= 0) & (order < len(rows)))
    own = rows.float().mean(0).to(rows.dtype).repeat(len(order), *[1] * (rows.ndim - 1))
    own[known] = rows[torch.from_numpy(order)[known]]
    return own


def fit(places: int | None, most: int | None, key: str = "task.context") -> None:
    """Raises ConfigError, at `key`, for a sequence of more `places` than a model has; None where it has no end."""
    if places is not None and most is not None and places > most:
        raise ConfigError([f"{key}: {places} tokens are more than the {most} that this model can take"])


def places(table: Tensor, context: int) -> Tensor:
    """The vectors of the first `context` places. Raises ConfigError where there are fewer."""
    fit(context, len(table))
    return table[:context]
