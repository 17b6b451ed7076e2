"""What `dlzoo train` does, in the order in which it does it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlzoo import files, registry
from dlzoo.config import Config
from dlzoo.engine import checkpoint
from dlzoo.engine.checkpoint import State
from dlzoo.engine.loader import Scored
from dlzoo.engine.record import Record
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import UserError, printable
from dlzoo.interrupt import Interrupt, Stopped
from dlzoo.run import evaluate, portable, report
from dlzoo.run.agreement import changes, same_config
from dlzoo.run.built import Built, build, rehearse
from dlzoo.run.fit import Fit
from dlzoo.run.folder import ROOT, Run, closed, find_checkpoint, understood
from dlzoo.run.memory import explained, in_words
from dlzoo.run.resolve import commit, environment
from dlzoo.run.session import Session
from dlzoo.run.start import start_of, tidy
from dlzoo.schema.reader import from_dict
from dlzoo.schema.writer import dump, to_dict

SCORED = ("metrics", "intervals", "baseline")
"""What a score has: run.json and `--json` give all three."""


@dataclass
class Outcome:
    """How a training ended."""

    run: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    """Of the test split, or of the validation split where there is no test split."""
    code: int = 0
    """0 done; 129, 130 or 143 stopped by a signal, resumable."""
    intervals: dict[str, Any] = field(default_factory=dict)
    """Of each metric that has one, 95 %."""
    baseline: dict[str, Any] = field(default_factory=dict)
    """The metrics of the trivial answer, and its name."""

    def to_dict(self) -> dict[str, Any]:
        facts = {"run": str(self.run), "code": self.code, "metrics": self.metrics}
        return facts | {"intervals": self.intervals, "baseline": self.baseline}


def train(
    config: Config, *, root: Path = ROOT, imports: Sequence[Path] = (), argv: Sequence[str] = (), quiet: bool = False
) -> Outcome:
    """Train `config` in a new folder under `root`; the test split is scored once, at the end, with the best weights.

    quiet: nothing on stdout, and no hint at what to do next. Raises ConfigError, DataError and the like before anything
    is written, where it can.
    """
    registry.load(imports)
    with explained(config):
        runtime = Runtime(config.train)
        main = runtime.processes.main
        built = build(config, runtime)
        rehearse(built)
        name = config.name or f"{config.data.name}_{config.model.name}"
        path = Path(runtime.processes.from_main(str(files.new_run(root, name)) if main else ""))
        with ExitStack() as stack:
            stack.enter_context(files.lock(path) if main else nullcontext())
            run = Run(path)
            record = stack.enter_context(closing(Record(path, main=main)))
            if main:
                files.write_text(path / "config.yaml", dump(built.config))
                run.note(**_origin(built, imports, argv))
            return _carry_out(run, built, None, record, quiet)


def resume(
    run: str | Path,
    *,
    root: Path = ROOT,
    config: Config | None = None,
    imports: Sequence[Path] = (),
    argv: Sequence[str] = (),
    quiet: bool = False,
) -> Outcome:
    """Go on with a run from its newest whole checkpoint, as if it had never stopped; a finished run stays as it is.

    run: or RUN/checkpoints/step-N, to go on from that one; later ones are then set aside. config: what the user gave
    besides, which may not differ. Raises RunError where there is nothing to go on with.
    """
    registry.load(imports)
    path, named = find_checkpoint(run, root)
    found = Run(closed(path))
    own = found.config
    if named is not None:
        checkpoint.verify(named)
    if config is not None:
        same_config("the run", to_dict(own), "the config given", to_dict(config))
    if found.finished:
        with suppress(UserError), files.lock(found.path):
            tidy(found)  # the kill may have come after the last word and before the end
        Record(None).say(f"{found.path.name} is already finished (step {found.facts.get('step', 0):,}); nothing to do")
        return Outcome(found.path, **{name: found.facts.get(name, {}) for name in SCORED})
    with explained(own):
        runtime = Runtime(own.train)
        main = runtime.processes.main
        with ExitStack() as stack:
            stack.enter_context(files.lock(found.path) if main else nullcontext())
            state, said = start_of(found, named, runtime.processes)
            record = stack.enter_context(closing(Record(found.path, main=main)))
            record.say("\n".join(said))
            if state is not None:
                with understood(f"step-{state.step}"):
                    saved = to_dict(from_dict(state.values["config"]))  # with the defaults of keys that are new since
                    same_config(f"step-{state.step}", saved, "config.yaml", to_dict(own))
            built = build(own, runtime, state, run=found)
            rehearse(built)
            for change in changes(found, built.runtime):
                record.say(f"warning: the resume will not be bit-identical, because {change}")
            if main:
                found.note(
                    resumed=[*found.facts.get("resumed", []), {"step": state.step if state else 0, "argv": list(argv)}]
                )
            return _carry_out(found, built, state, record, quiet)


def _carry_out(run: Run, built: Built, state: State | None, record: Record, quiet: bool) -> Outcome:
    """Train, from `state` or from the start, then test; every way out is noted in run.json."""
    main, started = built.runtime.processes.main, time.monotonic() - run.facts.get("seconds", 0.0)

    def note(**facts: Any) -> None:
        if main:
            run.note(**facts, seconds=round(time.monotonic() - started, 2))

    try:
        note(status="running", code=None, error=None)
        (run.path / "error.txt").unlink(missing_ok=True)
        with Interrupt() as interrupt:
            step, finished = state.step if state else 0, False
            with suppress(Stopped):
                fit = _prepare(run, built, state, record, interrupt, started)
                finished, step = fit.go(), fit.session.step
            if not finished:
                by = interrupt.asked or "a signal"
                record.say(f"stopped by {by} at step {step:,}; dlzoo train --resume {run.path} continues")
                note(status="stopped", code=interrupt.code, step=step)
                return Outcome(run.path, code=interrupt.code or 143)
        built.runtime.processes.leave()
        outcome = _test(run, built, record, quiet) if main else Outcome(run.path)
        scores = {name: getattr(outcome, name) for name in SCORED}
        note(status="finished", code=0, step=step, **scores)
        return outcome
    except BaseException as error:
        if main:
            failure = in_words(error, built.config)
            with suppress(Exception):
                if stopped := isinstance(error, KeyboardInterrupt):
                    record.say(f"stopped by Ctrl-C, nothing saved; dlzoo train --resume {run.path} goes on from before")
                code = 130 if stopped else getattr(failure, "code", 1)
                note(status="stopped" if stopped else "failed", code=code, error=str(failure))
                trace = "" if isinstance(failure, UserError) else traceback.format_exc()
                files.write_text(run.path / "error.txt", f"{type(failure).__name__}: {failure}\n{trace}")
        raise


def _prepare(run: Run, built: Built, state: State | None, record: Record, interrupt: Interrupt, started: float) -> Fit:
    """The loop, its data encoded, its state restored, ready to go."""
    config, task, processes = built.config, built.task, built.runtime.processes

    def reading(split: str) -> Callable[[Iterable[int]], Iterable[int]]:
        follow = record.reading(split)
        return follow if processes.world > 1 else lambda chunks: interrupt.between(follow(chunks))

    loader = built.loader(reading("train"))
    held = None
    if "validation" in built.splits:
        size = config.evaluate.batch_size or config.train.batch_size
        workers = config.train.workers or 0
        held = Scored(task, built.pieces["validation"], size, processes, reading("validation"), workers)
    session = Session(config, task, built.network, built.runtime, built.steps)
    fit = Fit(run, session, loader, held, record, interrupt, started)
    if state is not None:
        with understood(f"step-{state.step}"):
            session.restore(state)
    else:
        for line in _introduction(run, built):
            record.say(line)
    record.rewind(session.step)
    return fit


def _introduction(run: Run, built: Built) -> Iterator[str]:
    config, runtime, steps = built.config, built.runtime, built.steps
    sizes = " · ".join(f"{name} {len(pieces):,}" for name, pieces in built.pieces.items())
    weights = sum(parameter.numel() for parameter in built.network.parameters())
    trained = sum(parameter.numel() for parameter in built.network.parameters() if parameter.requires_grad)
    of_them = f", {trained:,} of them trained" if trained < weights else ""
    where = f"{runtime.device.type}, {runtime.threads} thread{'s' * (runtime.threads > 1)}"
    yield f"run    {run.path}"
    yield f"data   {config.data.name}: {sizes}"
    yield f"model  {config.model.name}: {weights:,} weights{of_them}, on {where}"
    yield f"train  {steps:,} updates of {config.train.batch_size}, {steps / built.epoch:.4g} epochs"
    if built.order.joins:
        yield "note   the last sample of an epoch joins the batch before it: alone it would have no batch statistics"
    for note in (*built.dataset.notes, *built.task.notes):
        yield f"note   {printable(note)}"


def _test(run: Run, built: Built, record: Record, quiet: bool) -> Outcome:
    """Score the test split once, with the best weights, draw the figures, say what to do next."""
    portable.fill(built.network, portable.verified(portable.read(run.path)))
    config, task = built.config, built.task
    found = dict(run.facts.get("best") or {})
    monitor = config.evaluate.monitor or task.monitor
    outcome = Outcome(run.path)
    if "test" in built.splits:
        folder = run.path / "evaluate" / "test"
        size = config.evaluate.batch_size or config.train.batch_size
        pieces, write = built.pieces["test"], folder / "predictions.jsonl"
        scores = evaluate.score(built.network, task, pieces, built.runtime, size, write, config.train.workers or 0)
        result = evaluate.summary(task, scores, run=str(run.path), split="test")
        files.write_json(folder / "metrics.json", result)
        report.scored(run.path / "figures", task, scores)
        outcome = Outcome(run.path, **{name: result[name] for name in SCORED})
        if not quiet:
            evaluate.show(result)
    elif "validation" in built.splits:
        outcome = Outcome(run.path, {monitor.lstrip("-"): found.get("value")})
    report.curves(run.path, monitor)
    if (skipped := built.dataset.skipped) and skipped.count:
        record.say(f"of the data, {printable(str(skipped))}")
    record.say(f"done: the best model is of step {found.get('step', 0):,}; curves in {run.path / 'figures'}")
    if not quiet:
        record.say(f"next   dlzoo evaluate {run.path}\n       dlzoo predict {run.path} FILE...")
    return outcome


def _origin(built: Built, imports: Sequence[Path], argv: Sequence[str]) -> dict[str, Any]:
    return {
        "status": "running",
        "created": time.time(),
        "argv": list(argv),
        "imports": [path.name for path in imports],
        "seed": built.config.train.seed,
        "environment": environment(built.runtime),
        "commit": commit(),
        "data": {"fingerprint": built.dataset.fingerprint()},
        "skipped": built.dataset.skipped.to_dict() if built.dataset.skipped else None,
        "best": None,
    }
