"""Small trainings of every kind: tasks with models that fit them, over optimizers, schedules and precisions."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import published
import published_pairs
import yaml
from made import boxed, digit_masks, measured, scenes, tagged, talks, translated, videos

import dlzoo.data
from dlzoo.optim import OPTIMIZERS
from dlzoo.registry import TASKS
from dlzoo.registry.compatible import models_for
from dlzoo.schedules import SCHEDULES

BUNDLED = Path(dlzoo.data.__file__).parent / "bundled"
NOISY = Path(__file__).parent / "noisy.py"

DATA: dict[str, dict[str, Any]] = {
    "image_classification": {"data": {"name": "digits", "hold_out": 60, "test": 60}},
    "video_classification": {"data": {"name": "video_folder", "path": "videos", "hold_out": 8, "test": 8}},
    "face_recognition": {"data": {"name": "digits", "hold_out": 60, "test": 60}},
    "image_regression": {
        "data": {
            "name": "image_folder",
            "mode": "grey",
            "path": "bars",
            "csv": "bars/list.csv",
            "targets": ["place", "angle"],
        }
    },
    "tabular_classification": {"data": {"name": "table", "path": "credit.csv", "target": "Status", "hold_out": 60}},
    "tabular_regression": {"data": {"name": "diabetes", "hold_out": 60}},
    "text_classification": {"data": {"name": "texts", "path": "spam.csv", "text": "text", "label": "label"}},
    "language_modeling": {"data": {"name": "texts", "path": "novel.txt", "unit": "document"}},
    "masked_language_modeling": {"data": {"name": "texts", "path": "spam.csv", "text": "text", "label": "label"}},
    "token_classification": {"data": {"name": "tagged_texts", "path": "tags.tsv", "word": 2}},
    "sequence_to_sequence": {"data": {"name": "text_pairs", "path": "pairs.tsv"}},
    "chat": {"data": {"name": "conversations", "path": "talks.jsonl"}},
    "forecasting": {"data": {"name": "airline"}},
    "segmentation": {"data": {"name": "mask_folder", "path": "digits", "mode": "grey"}},
    "detection": {"data": {"name": "coco", "path": "scenes", "mode": "grey"}},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "image_classification": {"augment": "shift", "randaugment": 1, "erase": 0.3, "mixup": 0.2, "cutmix": 1.0},
    "video_classification": {"frames": 4, "fps": 4, "augment": "shift", "erase": 0.3},
    "face_recognition": {"augment": "shift", "embedding": 8},
    "image_regression": {"augment": "shift", "period": {"angle": 360}},
    "text_classification": {"context": 24, "word_dropout": 0.1},
    "language_modeling": {"context": 16},
    "masked_language_modeling": {"context": 16, "whole_words": True},
    "token_classification": {"context": 24, "word_dropout": 0.1},
    "sequence_to_sequence": {"vocab": 300, "context": 12, "target_context": 10},
    "chat": {"context": 48, "look_back": 12},
    "forecasting": {"context": 12, "horizon": 6},
    "segmentation": {"augment": "zoom_turn", "jitter": 0.1},
    "detection": {"augment": "zoom_flip", "jitter": 0.1},
}
TINY: dict[str, dict[str, Any]] = {
    "mlp": {"dim": 8, "norm": "batch", "dropout": 0.1},
    "lenet": {"channels": [4, 6], "hidden": [12], "norm": "batch", "dropout": 0.1},
    "resnet": {"depth": 10, "width": 4},
    "convnext": {"depths": [1, 1], "dims": [4, 6], "patch": 1, "drop_path": 0.1},
    "mobilenet": {"width": 0.1},
    "timm": {"arch": "test_resnet"},
    "torchvision": {"arch": "shufflenet_v2_x0_5"},
    "torchvision_segmentation": {"arch": "lraspp_mobilenet_v3_large", "dim": 8},
    "unet": {"width": 4, "depth": 2, "dropout": 0.1},
    "vit": {"dim": 8, "depth": 1, "heads": 2, "patch": 4, "dropout": 0.1},
    "c3d": {"channels": [4, 6], "dropout": 0.1},
    "cnn_rnn": {"cnn": {"name": "resnet", "depth": 10, "width": 4}, "dim": 8, "dropout": 0.1},
    "torchvision_video": {"arch": "mc3_18"},
    "cnn1d": {"embedding": 8, "dim": 12, "dropout": 0.1},
    "hf": {"path": "llama"},
    "hf_encoder_decoder": {"path": "t5"},
    "tcn": {"dim": 8, "depth": 2, "dropout": 0.1},
    **{
        name: {"dim": 8, "depth": 1, "heads": 2, "dropout": 0.1}
        for name in ("gpt", "bert", "transformer", "encoder_decoder")
    },
    **{name: {"dim": 8, "layers": 2, "dropout": 0.1} for name in ("rnn", "lstm", "gru", "rnn_encoder_decoder")},
}
"""Arguments that make a model small, and draw where it can; one that is not listed is built with its defaults."""
LARGER = {name: {"size": 48} for name in ("timm", "torchvision", "torchvision_segmentation")}
LARGER |= {"torchvision_detector": {"size": 96}, "torchvision_video": {"size": 16}}
LARGER |= {"hf_encoder_decoder": {"vocab": None}}
"""Of the task: more for networks that leave one place of a small picture, over which batch norms have next to no
spread; less for one that is slow, and for one whose tokenizer comes with it.
"""
FEW = {
    "image_classification": {"convnext", "lenet", "mlp", "mobilenet", "resnet", "timm", "torchvision", "vit"},
    "face_recognition": {"lenet", "resnet"},
    "image_regression": {"mlp", "resnet"},
    "segmentation": {"resnet", "torchvision_segmentation", "unet"},
    "detection": {"resnet", "torchvision_detector"},
    "text_classification": {"bert", "cnn1d", "gru", "transformer"},
    "language_modeling": {"gpt", "hf", "lstm", "rnn"},
    "masked_language_modeling": {"bert", "transformer"},
    "token_classification": {"lstm", "transformer"},
    "chat": {"gpt", "lstm"},
    "forecasting": {"gru", "mlp", "tcn"},
}
"""Models that a task is tried with, where others that fit are tried with another task: every model is, with one."""
PRECISE = {"torchvision_detector"}
"""Models whose batch norms see single places at these sizes: in bfloat16 their gradients are infinite."""
_IMPORT = Lock()
"""Held while transformers is imported: threads that do that at once see it half made."""
DRAWING = set(re.findall('"(noisy_.*)"', NOISY.read_text()))
"""The tasks of noisy.py; detection draws by itself."""
STEPS = 12
TRAIN = {"steps": STEPS, "batch_size": 24, "save_every": 3, "threads": 1, "workers": 0}


@dataclass(frozen=True)
class Kind:
    """One training."""

    values: dict[str, Any]
    """Its config."""

    def __str__(self) -> str:
        train = self.values["train"]
        names = [self.values[key]["name"] for key in ("task", "model", "optimizer", "schedule")]
        parts = [
            *names,
            *(f"{key} {train[key]}" for key in ("ema", "accumulate", "precision", "workers") if train[key]),
        ]
        return ", ".join(parts)

    def put(self, place: Path) -> list[object]:
        """Write config and data into `place`; the options that a command needs to train it."""
        write_data(place)
        (place / "c.yaml").write_text(yaml.safe_dump(self.values))
        return ["--config", "c.yaml", "--import", NOISY]


def kind(task: str, model: str, *, noisy: bool = False, **sections: dict[str, Any]) -> Kind:
    """A training of `task` with `model`; `sections` change the config's defaults."""
    values: dict[str, Any] = {
        "task": {"name": f"noisy_{task}" if noisy else task} | ARGUMENTS.get(task, {}) | LARGER.get(model, {}),
        "model": {"name": model} | TINY.get(model, {}),
        "optimizer": {"name": "adamw", "lr": 0.003},
        "schedule": {"name": "cosine"},
        "train": TRAIN | {"ema": None, "accumulate": 1, "precision": "float32", "workers": 2 if noisy else 0},
        "evaluate": {"every": 5},
    } | DATA[task]
    return Kind(values | {key: values.get(key, {}) | section for key, section in sections.items()})


def pairs() -> list[tuple[str, str]]:
    """Each task of dlzoo with each model that fits it, or of those with the few that say something new."""
    fits = {task: [model for model, unfit in models_for(TASKS.entry(task)).items() if unfit is None] for task in DATA}
    return [(task, model) for task in DATA for model in fits[task] if model in FEW.get(task, fits[task])]


def kinds() -> list[Kind]:
    """Every pair without workers; and those that can, but for slow ones, as they draw when they encode, two workers."""
    chosen = [(*pair, False) for pair in pairs()]
    chosen += [(*pair, True) for pair in pairs() if f"noisy_{pair[0]}" in DRAWING and pair[1] not in LARGER]
    return [_varied(number, *pair) for number, pair in enumerate(chosen)]


def _varied(number: int, task: str, model: str, noisy: bool) -> Kind:
    """A training whose number decides over all that is not task and model."""
    optimizers, schedules = sorted(OPTIMIZERS), sorted(SCHEDULES)
    schedule: dict[str, Any] = {"name": schedules[number % len(schedules)]}
    train = {
        "accumulate": (1, 2, 3)[number % 3],
        "ema": (None, 0.9)[number % 2],
        "precision": ("float32", "bfloat16")[number // 2 % 2 if model not in PRECISE else 0],
    }
    return kind(
        task,
        model,
        noisy=noisy,
        optimizer={"name": optimizers[number % len(optimizers)]},
        schedule=schedule | ({"patience": 1} if schedule["name"] == "plateau" else {}),
        train=train,
    )


@cache
def _saved(kind: str) -> Path:
    """A folder of a language model, or of an encoder-decoder, as transformers saves it."""
    folder = Path(tempfile.mkdtemp(prefix=f"dlzoo-{kind}-"))
    atexit.register(shutil.rmtree, folder)
    (published_pairs if kind in published_pairs.KINDS else published).save(folder, kind)
    return folder


def write_data(place: Path) -> None:
    """The first part of the bundled sets; pictures, videos and language models that are made."""
    boxed(place / "scenes", "coco", {"train": scenes(60)})
    (place / "videos").symlink_to(videos())
    with _IMPORT:
        for kind in ("llama", "t5"):
            (place / kind).symlink_to(_saved(kind))
    measured(place / "bars", 200)
    tagged(place / "tags.tsv", 200)
    translated(place / "pairs.tsv")
    talks(place / "talks.jsonl", 120)
    for name, source, lines in (("spam.csv", "spam.csv", 200), ("credit.csv", "credit_data.csv", 300)):
        with (BUNDLED / source).open(encoding="utf-8") as file:
            (place / name).write_text("".join(islice(file, lines)), encoding="utf-8")
    shutil.copytree(digit_masks(), place / "digits", dirs_exist_ok=True)
    with (BUNDLED / "pride_and_prejudice.txt").open(encoding="utf-8") as file:
        (place / "novel.txt").write_text(file.read(12_000), encoding="utf-8")
