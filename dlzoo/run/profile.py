"""`dlzoo profile`: where the time of an update goes, and what would change it, measured on real updates."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from dlzoo.config import Config
from dlzoo.engine.runtime import Runtime
from dlzoo.run.built import Built, build
from dlzoo.run.memory import explained
from dlzoo.run.session import Session

T = TypeVar("T")
PHASES = ("data", "augment", "forward", "loss", "backward", "optimizer")
"""Parts of an update, in their order; `rest` is what is between them."""
WARM = 5
"""Updates before the first that is timed: memory is taken, kernels are chosen."""
SECONDS = 10.0
"""About how long each way of training is timed."""
SMALL, LARGE = 0.15, 0.25
"""Shares of an update from which on a part is worth a word."""


class Stopwatch:
    """Seconds in each phase, summed; on a GPU each phase waits for what it has started."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside the block."""
        started = self.now()
        try:
            yield
        finally:
            self.seconds[name] += self.now() - started

    def now(self) -> float:
        """Seconds on the clock, after all that was started is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def around(self, name: str, act: Callable[..., T]) -> Callable[..., T]:
        """`act`, counted."""

        def timed(*args: Any, **kwargs: Any) -> T:
            with self.phase(name):
                return act(*args, **kwargs)

        return timed


def profile(config: Config) -> dict[str, Any]:
    """Milliseconds of an update in all and by phase, samples a second, other settings timed beside, and advice."""
    with explained(config):
        built = build(config, Runtime(config.train))
        own = measure(built)
        others = {}
        for key, value in alternatives(built):
            changed = replace(built.config, train=replace(built.config.train, **{key: value}))
            others[f"train.{key}: {str(value).lower()}"] = measure(build(changed, Runtime(changed.train)))[
                "milliseconds"
            ]
    report = {
        "task": config.task.name,
        "model": config.model.name,
        "device": built.runtime.device.type,
        "threads": built.runtime.threads,
        "batch_size": config.train.batch_size,
        **own,
        "others": others,
    }
    return report | {"advice": list(advice(built.config, report))}


def measure(built: Built) -> dict[str, Any]:
    """The median update of a few seconds of training, and its parts."""
    plan, task, runtime = built.config.train, built.task, built.runtime
    watch = Stopwatch(runtime.device)
    loader = built.loader()
    steps = 10**6
    session = Session(built.config, task, built.network, runtime, steps)
    task.augment = watch.around("augment", task.augment)  # type: ignore[method-assign]
    task.loss = watch.around("loss", task.loss)  # type: ignore[method-assign]
    runtime.backward = watch.around("backward", runtime.backward)  # type: ignore[method-assign]
    runtime.update = watch.around("optimizer", runtime.update)  # type: ignore[method-assign]
    session.network.forward = watch.around("forward", session.network.forward)  # type: ignore[method-assign]
    loader.windows = _timed_windows(watch, loader.windows)  # type: ignore[method-assign]
    rows = session.rows(loader)
    laps: list[float] = []
    shares = []
    for _ in range(WARM):
        next(rows)
    begun = watch.now()
    while not laps or watch.now() - begun < SECONDS and len(laps) < 200:
        before, started = dict(watch.seconds), watch.now()
        session.take(next(rows))
        laps.append(watch.now() - started)
        shares.append({name: watch.seconds[name] - before[name] for name in PHASES})
    rows.close()  # type: ignore[attr-defined]
    whole = statistics.median(laps)
    phases = {name: statistics.median(share[name] for share in shares) for name in PHASES}
    phases["rest"] = max(0.0, whole - sum(phases.values()))
    return {
        "updates": len(laps),
        "milliseconds": 1000 * whole,
        "phases": {name: 1000 * seconds for name, seconds in phases.items() if seconds},
        "samples_per_second": plan.batch_size / whole,
    }


def _timed_windows(watch: Stopwatch, windows: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """`Loader.windows`, each wait for the next window counted as data."""

    def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
        found = windows(*args, **kwargs)
        while True:
            with watch.phase("data"):
                window = next(found, None)
            if window is None:
                return
            yield window

    return timed


def alternatives(built: Built) -> Iterator[tuple[str, Any]]:
    """Settings of `train` that change the speed and hardly the result, and are not what the config has."""
    plan = built.config.train
    if plan.precision == "float32" and _knows_bfloat16(built.runtime.device):
        yield "precision", "bfloat16"
    if any(isinstance(module, nn.Conv2d) for module in built.network.modules()):
        yield "channels_last", not plan.channels_last


def _knows_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 by itself: elsewhere it only costs."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def advice(config: Config, report: dict[str, Any]) -> Iterator[str]:
    """What to change, the most useful first; nothing where nothing stands out."""
    whole, phases = report["milliseconds"], report["phases"]
    for setting, other in sorted(report["others"].items(), key=lambda pair: pair[1]):
        if other < (1 - SMALL / 2) * whole:
            yield f"{setting} takes {other / whole:.2f} of the time (measured); look whether the score holds"
    if phases.get("data", 0) > SMALL * whole:
        if config.train.workers:
            yield f"the step waits for data: try train.workers above {config.train.workers}, or smaller samples"
        else:
            yield "the step waits for data, which is made in the same process: try train.workers: 1 or more"
    overhead = phases.get("optimizer", 0) + phases.get("rest", 0)
    if overhead > LARGE * whole:
        yield (
            f"{overhead / whole:.0%} goes into the optimizer and between the parts, whatever the batch: "
            f"a larger train.batch_size than {config.train.batch_size} trains more samples a second"
        )


def show(report: dict[str, Any]) -> None:
    """Print what `profile` found."""
    where = f"{report['device']}, {report['threads']} thread{'s' * (report['threads'] > 1)}"
    print(f"model   {report['model']} for {report['task']}, batches of {report['batch_size']}, on {where}")
    rate = f"{report['samples_per_second']:,.0f} samples a second"
    print(f"update  {report['milliseconds']:.2f} ms (median of {report['updates']}), {rate}")
    for name, milliseconds in report["phases"].items():
        share = milliseconds / report["milliseconds"]
        print(f"  {name:10}{milliseconds:9.2f} ms {share:5.0%}  {'#' * round(40 * share)}")
    for setting, milliseconds in report["others"].items():
        print(f"  with {setting}: {milliseconds:.2f} ms")
    for line in report["advice"] or ["nothing stands out: the time goes into the arithmetic"]:
        print(f"advice  {line}")
