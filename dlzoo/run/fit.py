"""The policy of a training: when to log, evaluate, keep the best, save and stop, around the engine's plain loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dlzoo.engine.loader import Loader
from dlzoo.engine.loop import Row, Scores
from dlzoo.engine.record import Record, finite
from dlzoo.engine.workers import LostWorker
from dlzoo.errors import DataError, UserError
from dlzoo.interrupt import Interrupt, Stopped
from dlzoo.run.folder import Run
from dlzoo.run.session import Session
from dlzoo.task import Batch


@dataclass
class Fit:
    """One run's loop, its parts at hand."""

    run: Run
    session: Session
    loader: Loader
    held: Iterable[Batch] | None
    """The validation split; None where there is none."""
    record: Record
    interrupt: Interrupt
    started: float
    """When the run would have started if it had never stopped, on the monotonic clock."""
    saved: bool = False
    """Whether a checkpoint was written since."""

    @property
    def every(self) -> int:
        """Updates between two evaluations."""
        return self.session.config.evaluate.every or len(self.loader)

    def go(self) -> bool:
        """Train to the end, or until a signal (then False). The last update is always evaluated and saved."""
        session, plan = self.session, self.session.config.train
        if not session.evaluated:
            if not self.look():
                return False
            self.save()
        self.record.start(session.step, session.steps)
        rows = session.rows(self.loader, session.step if session.exhausted else None)
        for row in self._saved_if_lost(rows):
            session.take(row)
            self.record.advance()
            due = row.step == session.steps or row.step % self.every == 0
            asked = self.asked()
            if due or asked or row.step % plan.log_every == 0:
                row.check()
                self.record.write(self.facts(row))
            if due:
                session.evaluated = False
                asked = not self.look() or asked
            last = row.step == session.steps or session.exhausted
            if asked or last or (due if plan.save_every is None else row.step % plan.save_every == 0):
                row.check()
                self.save()
            if asked:
                return False
            if session.exhausted:
                waiting = f"{session.best.waiting} evaluations"
                self.record.say(
                    f"no better {session.config.evaluate.monitor} in {waiting}: stopped early at step {row.step:,}"
                )
                break
        return True

    def _saved_if_lost(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows; where the data of an update cannot be had, so that nothing of it is done, the others are saved."""
        try:
            yield from rows
        except (DataError, LostWorker):
            with suppress(UserError):
                self.save()
            raise

    def look(self) -> bool:
        """Evaluate, and keep the model if it is the best so far (or if nothing can tell); False if stopped."""
        session = self.session
        try:
            alone = session.runtime.processes.world == 1  # several stop together, between two updates
            held = self.interrupt.between(self.held) if alone and self.held is not None else self.held
            scores = session.evaluate(held) if held is not None else None
        except Stopped:
            return False
        loss, epoch = session.mean_loss(), session.step / len(self.loader)
        better = session.judge(scores, epoch) if scores else True
        session.evaluated = True
        if better or session.best.value is None:
            metrics = finite(scores.metrics) if scores else {}
            if session.runtime.processes.main:
                self.run.stay()
                session.export(
                    self.run.path / "model",
                    step=session.step,
                    metrics=metrics,
                    imports=self.run.facts.get("imports", []),
                    data=self.run.facts.get("data", {}),
                )
                self.run.note(best={"step": session.step, "epoch": round(epoch, 4), **self._score(metrics)})
        if scores:
            row = {
                "step": session.step,
                "epoch": round(epoch, 4),
                "split": "validation",
                "train_loss": loss,
                **scores.metrics,
            }
            self.record.write({**row, "seconds": self.seconds()})
        self.record.say(self._line(loss, scores, better))
        return True

    def save(self) -> None:
        """Write a checkpoint."""
        if self.session.runtime.processes.main:
            self.run.stay()
            if self.saved and not self.run.checkpoints.is_dir():
                self.record.say(f"warning: {self.run.checkpoints} was removed; it is made again")
            self.session.save(self.run.checkpoints)
            self.saved = True

    def asked(self) -> bool:
        """Whether a signal asked any of the processes to stop."""
        processes = self.session.runtime.processes
        asked = self.interrupt.asked is not None
        return processes.total([float(asked)])[0] > 0 if processes.world > 1 else asked

    def seconds(self) -> float:
        """Wall-clock seconds of the run, without its pauses."""
        return round(time.monotonic() - self.started, 2)

    def facts(self, row: Row) -> dict[str, Any]:
        """A row of metrics.jsonl for an update."""
        epoch = round(row.step / len(self.loader), 4)
        numbers = {"loss": row.loss.item(), "norm": row.norm.item(), "lr": row.lr}
        return {"step": row.step, "epoch": epoch, **numbers, "seconds": self.seconds()}

    def _score(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """The monitored one of an evaluation's metrics; nothing where there was no evaluation."""
        monitor = self.session.config.evaluate.monitor or ""
        return {"metric": monitor, "value": metrics[monitor.lstrip("-")]} if metrics else {}

    def _line(self, loss: float | None, scores: Scores | None, better: bool) -> str:
        session = self.session
        epochs = f"epoch {session.step / len(self.loader):.4g}/{session.steps / len(self.loader):.4g}"
        parts = [epochs, f"step {session.step:,}", f"{self.seconds():.0f} s"]
        parts += [f"train loss {loss:.4f}"] if loss is not None else []
        if scores is None:
            return "  ".join(parts)
        monitor = (session.config.evaluate.monitor or "").lstrip("-")
        names = dict.fromkeys(["loss", monitor, *islice(scores.metrics, 3)])
        shown = [f"{name} {scores.metrics[name]:.4f}" for name in names if name in scores.metrics]
        undefined = not math.isfinite(scores.metrics[monitor])
        note = f" ({monitor} is undefined here: not counted)" if undefined else " (best)" if better else ""
        return "  ".join([*parts, "validation: " + ", ".join(shown) + note])
