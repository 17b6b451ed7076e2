"""`dlzoo verify-resume`: kill a training, resume it, and see that it is the one that was never killed, bit for bit."""

from __future__ import annotations

import json as json_
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from dlzoo import files, registry
from dlzoo.config import Config
from dlzoo.engine import checkpoint, schedule
from dlzoo.engine.order import Order
from dlzoo.errors import BelowBar, UserError
from dlzoo.run import train
from dlzoo.run.forked import fork, warm
from dlzoo.run.kill import MOMENT, Kill, count, draw
from dlzoo.run.likeness import Difference, differences

STEPS = 60
"""Updates that are enough, where the user does not say more: a resume that forgets something differs after one."""
MOST = 3
"""Kills of one run."""
TRIES = 10
"""Children that may end before their kill comes, until a run is given up."""


@dataclass
class Killed:
    """A kill that hit a living process."""

    point: str
    step: int
    """Updates that were done and logged."""
    saving: bool
    """Whether a file or folder was left half written."""

    def __str__(self) -> str:
        return f"step {self.step} ({self.point}{', half a file left' if self.saving else ''})"


@dataclass
class Attempt:
    """One run that was killed and resumed until it ended."""

    kills: list[Killed] = field(default_factory=list)
    differing: list[Difference] = field(default_factory=list)
    failure: str = ""
    """Why a resume did not end, in its own words."""

    @property
    def identical(self) -> bool:
        """Whether it was killed, and is the run that was not."""
        return bool(self.kills) and not self.differing and not self.failure

    @property
    def verdict(self) -> str:
        """`max |Δw| = 0`, or what is wrong first."""
        if self.failure or not self.kills:
            return self.failure or "ended before any kill came: nothing is shown"
        if not self.differing:
            return "max |Δw| = 0"
        more = len(self.differing) - 1
        return f"{self.differing[0]}" + (f" (and {more} more)" if more else "")

    def to_dict(self) -> dict[str, Any]:
        differing = [asdict(difference) for difference in self.differing]
        return {"kills": [asdict(kill) for kill in self.kills], "differing": differing, "failure": self.failure}


@dataclass
class Whole:
    """The run that is never killed, and what is known of it."""

    path: Path
    config: Config
    imports: Sequence[Path]
    seconds: float
    seen: dict[str, int]
    """How often it came to each point of kill.py."""


def verify_resume(
    config: Config,
    *,
    runs: int = 5,
    steps: int | None = None,
    kill_at: int | None = None,
    seed: int = 0,
    imports: Sequence[Path] = (),
    json: bool = False,
) -> list[Attempt]:
    """Train `config` once in peace, then `runs` times under SIGKILLs, and print what became of each.

    steps: updates of each training; None for those of the config, 60 at most. kill_at: kill once, as this update ends;
    else at one to three random places, which `seed` decides. Everything is done in a temporary folder. Raises BelowBar
    where a run differs.
    """
    registry.load(imports)
    plan = _plan(config, steps)
    if kill_at is not None and kill_at > (plan.train.steps or 0):
        raise UserError(f"--kill-at {kill_at}: the training has {plan.train.steps} updates; --steps makes it longer")
    attempts = []
    with tempfile.TemporaryDirectory(prefix="dlzoo-verify-resume-") as folder:
        whole = _whole(Path(folder, "whole"), plan, imports)
        for number in range(1, runs + 1):
            attempts.append(_attempt(whole, Path(folder, f"run-{number}"), Random(f"{seed}/{number}"), kill_at))
            if not json:
                kills = ", ".join(map(str, attempts[-1].kills))
                print(f"run {number:3}  killed at {kills or 'no step'}: {attempts[-1].verdict}", flush=True)
    _conclude(plan, attempts, json)
    return attempts


def _conclude(config: Config, attempts: list[Attempt], as_json: bool) -> None:
    broken = [(number, attempt) for number, attempt in enumerate(attempts, 1) if not attempt.identical]
    kills = sum(len(attempt.kills) for attempt in attempts)
    if as_json:
        facts = {"steps": config.train.steps, "kills": kills, "identical": not broken}
        print(json_.dumps(facts | {"runs": [attempt.to_dict() for attempt in attempts]}, ensure_ascii=False, indent=2))
    if broken:
        number, attempt = broken[0]
        raise BelowBar(f"{len(broken)} of {len(attempts)} runs differ; run {number}: {attempt.verdict}")
    if not as_json:
        print(f"max |Δw| = 0: {len(attempts)} runs, {kills} kills, all bit-identical to the run that was not killed")


def _plan(config: Config, steps: int | None) -> Config:
    """`config`, short, often evaluated and saved, every update logged; what is not as it was is said."""
    threads = config.train.threads or torch.get_num_threads()
    built = warm(config)
    epoch = len(Order(len(built.pieces["train"]), config.train.batch_size, 0))
    own = config.train.steps or (config.train.epochs or 1) * epoch
    most = steps or min(own, STEPS)
    often = min(config.evaluate.every or epoch, max(1, most // 3))
    save = min(config.train.save_every or often, max(1, most // 6))
    warmup = config.schedule.warmup
    if schedule.warmup(config.schedule, most) >= max(2, most):
        warmup = most // 2
    length = f"{most:,} updates" + (f" of {own:,} (--steps N for more)" if most != own else "")
    changed = f", {warmup} of them warm-up" if warmup != config.schedule.warmup else ""
    print(f"trains {length}{changed}; evaluates every {often}, saves every {save}", file=sys.stderr, flush=True)
    return replace(
        config,
        name="run",
        schedule=replace(config.schedule, warmup=warmup),
        train=replace(config.train, epochs=None, steps=most, save_every=save, log_every=1, threads=threads),
        evaluate=replace(config.evaluate, every=often),
    )


def _whole(root: Path, config: Config, imports: Sequence[Path]) -> Whole:
    """Train in peace. Raises what the training ends with."""
    seen = root.with_suffix(".seen")

    def act() -> int:
        write = count(seen)
        code = train.train(config, root=root, imports=imports, quiet=True).code
        write()
        return code

    with fork(act, root.with_suffix(".log")) as child:
        if child.wait():
            error = UserError(child.said)
            error.code = child.code or 1
            raise error
        seconds = time.monotonic() - child.started
    (path,) = root.iterdir()
    return Whole(path, config, imports, seconds, json_.loads(seen.read_text(encoding="utf-8")))


def _attempt(whole: Whole, root: Path, rng: Random, kill_at: int | None) -> Attempt:
    """Train, be killed and resume, until it ends; one that ends before its first kill begins anew."""
    found, log = Attempt(), root.with_suffix(".log")
    wanted = rng.randint(1, MOST) if kill_at is None else 1
    for _ in range(MOST + TRIES):
        kill = _next(whole, root, rng, kill_at) if len(found.kills) < wanted else None
        with fork(partial(_go, whole, root, kill), log) as child:
            code = child.wait(kill.seconds if kill and kill.point == MOMENT else math.inf)
        run = _run(root)
        if code == -signal.SIGKILL:
            if kill and run:
                found.kills.append(Killed(kill.point, _step(run), any(run.rglob(f".*{files.PART}"))))
        elif code:
            found.failure = f"the resume ended with exit code {code}: {child.said}"
            break
        elif run and found.kills:
            found.differing = differences(whole.path, run)
            found.differing += [Difference(path.name, "left behind") for path in run.rglob(f".*{files.PART}")]
            break
        log.unlink(missing_ok=True)  # a moment may be too early for a log
        if not found.kills:
            shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    return found


def _go(whole: Whole, root: Path, kill: Kill | None) -> int:
    """What a child does: begin, or go on."""
    if kill:
        kill.arm()
    run = _run(root)
    if run is None:
        return train.train(whole.config, root=root, imports=whole.imports, quiet=True).code
    return train.resume(run, imports=whole.imports, quiet=True).code


def _next(whole: Whole, root: Path, rng: Random, kill_at: int | None) -> Kill:
    """A kill of the process that is to come, which has only the rest of the training before it."""
    run = _run(root)
    done = max((int(path.name[5:]) for path in checkpoint.saved(run / "checkpoints")), default=0) if run else 0
    if kill_at is not None:
        return Kill("step", kill_at - done)
    left = 1 - done / (whole.config.train.steps or 1)
    return draw(rng, {point: max(1, round(times * left)) for point, times in whole.seen.items()}, whole.seconds * left)


def _run(root: Path) -> Path | None:
    """The run in a folder, once there is enough of it to go on with."""
    return next((path.parent for path in root.glob("*/run.json") if (path.parent / "config.yaml").exists()), None)


def _step(run: Path) -> int:
    """The last update that was logged."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    return max((json_.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)
