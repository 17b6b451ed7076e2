"""Everything that a config names, built and checked together: what train, check and the proofs begin with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice

from dlzoo.config import Config
from dlzoo.data.dataset import Dataset, Pieces, Subset
from dlzoo.engine import schedule, seeds
from dlzoo.engine.checkpoint import State
from dlzoo.engine.loader import Loader, Progress, batches
from dlzoo.engine.loop import evaluate
from dlzoo.engine.order import Order
from dlzoo.engine.record import Record
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError
from dlzoo.run.agreement import same_data
from dlzoo.run.beginning import begin, take_tokenizer
from dlzoo.run.build import build_dataset, build_network, build_splits, build_task, freeze
from dlzoo.run.folder import Run, understood
from dlzoo.run.resolve import resolve
from dlzoo.run.session import monitored
from dlzoo.task import Network, Task


@dataclass
class Built:
    """All parts of a run; nothing is written yet."""

    config: Config
    dataset: Dataset
    splits: dict[str, Subset]
    task: Task
    network: Network
    runtime: Runtime

    @cached_property
    def pieces(self) -> dict[str, Pieces]:
        """What each split is encoded from, cut and packed once."""
        self.task.ready(self.dataset)
        return {name: self.task.pieces(split, name) for name, split in self.splits.items()}

    def loader(self, progress: Progress = iter) -> Loader:
        """The training batches of this process, encoded before the first where that is done once."""
        train = self.config.train
        return Loader(
            self.task,
            self.pieces["train"],
            batch_size=train.batch_size,
            seed=train.seed,
            accumulate=train.accumulate,
            workers=train.workers or 0,
            processes=self.runtime.processes,
            progress=progress,
        )

    @property
    def order(self) -> Order:
        """The windows of an epoch, as far as they do not depend on the lengths of pieces."""
        train = self.config.train
        return Order(len(self.pieces["train"]), train.batch_size, train.seed)

    @property
    def epoch(self) -> int:
        """Updates in an epoch."""
        return len(self.order)

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return self.config.train.steps or (self.config.train.epochs or 1) * self.epoch


def build(
    config: Config,
    runtime: Runtime,
    state: State | None = None,
    *,
    run: Run | None = None,
    dataset: Dataset | None = None,
) -> Built:
    """Data, task and network of `config`; what the task has learned comes from `state`, where there is one.

    run: what goes on. dataset: that of `config`, where it is made already. Raises RunError where the data of `run` has
    changed, before anything else about that data.
    """
    if runtime.device.type != "cuda":
        _refuse_cuda(config)
    task = build_task(config)
    dataset = build_dataset(config) if dataset is None else dataset
    if run is not None:
        same_data(run, dataset)
    splits = build_splits(dataset, task, config.split, Record(None, main=runtime.processes.main).reading("data"))
    if "validation" not in splits:
        _unwatched(config, task)
    if state is None:
        take_tokenizer(task, config)
        task.fit(splits["train"])
    else:
        with understood(f"step-{state.step}"):
            task.load_state_dict(state.values["task"])
    seeds.seed_globals(seeds.key(config.train.seed, "weights"))
    own = partial(begin, config=config) if state is None else None  # else all weights come from the run
    network = build_network(config, task, state.bytes if state else None, own)
    freeze(network, config.train.freeze)
    return Built(resolve(config, dataset, task, network, runtime), dataset, splits, task, network, runtime)


def rehearse(built: Built) -> None:
    """Score two pieces, so that a model, a head, a loss or a metric that cannot work fails before anything is written.

    Changes nothing. Raises ConfigError for a metric that is not there to be watched, and for a warm-up without an end.
    """
    config, steps = built.config, built.steps
    if (warmup := schedule.warmup(config.schedule, steps)) >= max(2, steps):
        raise ConfigError([f"schedule.warmup: a warmup of {warmup} updates does not end within {steps}"])
    built.runtime.place(built.network)
    few = batches(built.task, built.pieces.get("validation", built.pieces["train"]), 2)
    monitored(config, evaluate(built.network, built.task, islice(few, 1), built.runtime))


def _refuse_cuda(config: Config) -> None:
    """Raise ConfigError for what a device that is not CUDA would ignore."""
    asked = {"precision": config.train.precision == "tf32", "cuda_graphs": config.train.cuda_graphs}
    if found := [
        f"train.{key}: is for CUDA, and this runs on the CPU; leave it out" for key, on in asked.items() if on
    ]:
        raise ConfigError(found)


def _unwatched(config: Config, task: Task) -> None:
    """Raise ConfigError for what would be ignored where there is no validation split."""
    watching = {"patience": config.evaluate.patience, "monitor": config.evaluate.monitor}
    ignored = [name for name, value in watching.items() if value not in (None, task.monitor)]
    if ignored:
        why = "watches the validation split, and there is none: data.hold_out must be more than 0"
        raise ConfigError([f"evaluate.{name}: {why}" for name in ignored])
