"""The loops and the machine: one update, however it is split; what is not finite; evaluation; several processes."""

import math
import multiprocessing
import os
import platform
import random
import socket
import subprocess
import sys
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reliability.command import WARM
from torch import nn

from dlzoo.config import Train
from dlzoo.engine import allocator, loop, optimizer, weights
from dlzoo.engine.loader import Loader, Scored, batches
from dlzoo.engine.processes import Processes
from dlzoo.engine.runtime import NotFinite, Runtime
from dlzoo.errors import ConfigError, Diverged, RunError
from dlzoo.metrics.metric import Metric
from dlzoo.optim import AdamW
from dlzoo.registry import Registry
from dlzoo.run.built import build
from dlzoo.schema.reader import from_dict
from dlzoo.task import Batch, columns


class Points:
    """Points on a noisy line; one of them may be infinite."""

    def __init__(self, count=40, bad=None):
        rng = torch.Generator().manual_seed(1)
        self.x = torch.randn(count, 3, generator=rng)
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(count, generator=rng)
        if bad is not None:
            self.x[bad] = math.inf

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"x": self.x[index], "y": self.y[index]}

    def source(self, index):
        return f"points.csv:{index + 2}"


class Error(Metric):
    """The mean absolute error."""

    def __init__(self):
        self.total, self.count = np.zeros(1), 0

    def update(self, answers, truths):
        self.total += sum(abs(a["value"] - t["value"]) for a, t in zip(answers, truths, strict=True))
        self.count += len(answers)

    def compute(self):
        return {"mae": float(self.total[0]) / self.count}

    def state_dict(self):
        return {"total": self.total, "count": self.count}

    def merge(self, state):
        self.total = self.total + state["total"]
        self.count += state["count"]


class Line:
    """A regression as far as the engine sees it."""

    draws, stochastic, ragged, generates, baseline = False, False, (), False, "zero"

    def encode(self, sample, rng: Random | None = None):
        return dict(sample)

    def encode_many(self, samples):
        return columns([self.encode(sample) for sample in samples])

    def collate(self, found):
        return Batch({"x": found["x"]}, {"y": found["y"]}, count=len(found["x"]))

    def augment(self, batch, rng):
        return batch

    def loss(self, outputs, batch):
        return (outputs.float() - batch.targets["y"]).square().sum()

    def decode(self, outputs, batch):
        return [{"value": value} for value in outputs.tolist()]

    def truth(self, batch):
        return [{"value": value} for value in batch.targets["y"].tolist()]

    def guess(self, batch):
        return [{"value": 0.0}] * batch.count

    def metrics(self):
        return [Error()]

    def written(self):
        return []

    def scores(self, loss):
        return {"rmse": loss**0.5}

    def update(self, metrics, outputs, batch):
        for metric in metrics:
            metric.update(self.decode(outputs, batch), self.truth(batch))


class Model(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)[:, 0]


def trained(steps=9, *, accumulate=1, points=None, model=None, train=Train(), clip=1.0, fused=True, pieces=None):  # noqa: B008
    runtime, network = Runtime(train), model or Model()
    loader = Loader(Line(), points or Points(), batch_size=8, accumulate=accumulate, processes=runtime.processes)
    adam = optimizer.build(AdamW(lr=0.01, fused=fused), network, runtime.device)
    rows = loop.train(network, Line(), loader, adam, runtime, lambda step: 0.01, steps=steps, clip=clip)
    return network, [(row.loss.item(), row.norm.item()) for row in rows], runtime


def close(one: nn.Module, other: nn.Module, rtol=1e-5) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 3, 8])
def test_micro_batches_change_nothing(accumulate):
    """37 pieces: the last window is uneven too."""
    whole, rows, _ = trained(points=Points(37))
    parts, split, _ = trained(points=Points(37), accumulate=accumulate)
    close(whole, parts)
    assert np.allclose(rows, split, rtol=1e-4)


def test_the_engine_is_the_bare_loop():
    network, rows, _ = trained(clip=None)
    bare, points = Model(), Points()
    adam = torch.optim.AdamW(bare.parameters(), 0.01, fused=True)
    for group in optimizer.build(AdamW(), bare, torch.device("cpu")).param_groups:
        assert group["weight_decay"] in (0.01, 0.0)
    adam = optimizer.build(AdamW(lr=0.01), bare, torch.device("cpu"))
    order = Loader(Line(), points, batch_size=8).order
    for step in range(9):
        index = order.window(step)
        loss = (bare(points.x[index]) - points.y[index]).square().mean()
        assert loss.item() == pytest.approx(rows[step][0], rel=1e-5)
        loss.backward()
        adam.step()
        adam.zero_grad()
    close(network, bare)


def test_clipping_is_torchs():
    network, rows, _ = trained(1, clip=0.1)
    other, points = Model(), Points()
    index = Loader(Line(), points, batch_size=8).order.window(0)
    (other(points.x[index]) - points.y[index]).square().mean().backward()
    norm = nn.utils.clip_grad_norm_(other.parameters(), 0.1)
    assert norm.item() == pytest.approx(rows[0][1], rel=1e-5) and norm > 0.1
    optimizer.build(AdamW(lr=0.01), other, torch.device("cpu")).step()
    close(network, other, rtol=1e-4)


def test_dropout_is_a_function_of_the_step_not_of_what_was_drawn_before():
    one, _, _ = trained(model=Model(dropout=0.5))
    torch.manual_seed(99)
    two, _, _ = trained(model=Model(dropout=0.5))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other, _, _ = trained(model=Model(dropout=0.5), train=Train(seed=1))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_what_is_not_finite_stops_before_the_update_and_is_blamed():
    network = Model()
    loader = Loader(Line(), points := Points(bad=17), batch_size=8)
    runtime = Runtime()
    adam = optimizer.build(AdamW(lr=0.01), network, runtime.device)
    before, rows = [], loop.train(network, Line(), loader, adam, runtime, lambda step: 0.01, steps=5)
    with pytest.raises(Diverged) as caught:
        before.append([p.detach().clone() for p in network.parameters()])
        for _ in rows:
            before.append([p.detach().clone() for p in network.parameters()])
    step = next(i for i in range(5) if 17 in loader.order.window(i).tolist())
    message = str(caught.value)
    assert f"step {step + 1} " in message and "loss is" in message and "learning rate 0.01" in message
    assert f"with inputs that are not finite: {points.source(17)}\n" in message
    assert "first layer whose output is not finite: layers.0 (Linear)\n" in message
    assert caught.value.code == 5 and len(message.splitlines()) <= 6
    assert all(torch.equal(a, b) for a, b in zip(before[step], network.parameters(), strict=True))


@pytest.mark.parametrize("defers", [False, True])
def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(defers):
    """Deferring is what CUDA does: the update is skipped on the device, and reported when the host looks."""
    network, runtime = Model(), Runtime()
    runtime.defers = defers
    adam = optimizer.build(AdamW(lr=0.01, fused=True), network, runtime.device)
    before = [p.detach().clone() for p in network.parameters()]

    def update(value: float):
        network(torch.ones(2, 3)).sum().backward()
        network.layers[0].bias.grad[0] = value
        return runtime.update(network, adam, torch.tensor(1.0), 1.0)

    if defers:
        for value in (math.nan, 1.0, 1.0):  # what follows a bad update is skipped as well
            update(value)
        with pytest.raises(NotFinite) as caught:
            runtime.check()
        assert caught.value.ago == 2 and math.isnan(caught.value.norm) and caught.value.loss == 1.0
    else:
        with pytest.raises(NotFinite):
            update(math.nan)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    if defers:
        runtime.bad.zero_()
        update(1.0)
        runtime.check()
        assert not torch.equal(before[0], next(network.parameters()))


def test_a_float16_scaler_skips_and_gives_up_after_twenty():
    network, runtime = Model(), Runtime(Train(precision="float16"))
    adam = optimizer.build(AdamW(lr=0.01, fused=False), network, runtime.device)
    before, scale, skipped = [p.detach().clone() for p in network.parameters()], runtime.scaler.get_scale(), 0
    with pytest.raises(NotFinite):
        for _ in range(25):
            skipped += 1
            runtime.backward(network(torch.ones(2, 3)).sum())
            network.layers[0].bias.grad[0] = math.inf
            runtime.update(network, adam, torch.tensor(1.0), 1.0)
    assert skipped == 20 and runtime.scaler.get_scale() < scale
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    runtime = Runtime(Train(precision="float16"))
    runtime.backward(network(torch.ones(2, 3)).sum())
    with pytest.raises(NotFinite):
        runtime.update(network, adam, torch.tensor(math.nan), 1.0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_learns_as_well(precision):
    _, rows, _ = trained(60, train=Train(precision=precision))
    assert rows[-1][0] < rows[0][0] / 2


def test_evaluation_counts_each_piece_once_and_gives_the_mode_back():
    network, _, runtime = trained(3)
    network.train()
    points = Points()
    found = [loop.evaluate(network, Line(), batches(Line(), points, size), runtime, detail=True) for size in (1, 7, 40)]
    network.eval()
    errors = network(points.x) - points.y
    for scores in found:
        assert scores.count == 40
        assert scores.metrics["loss"] == pytest.approx(errors.square().mean().item(), rel=1e-5)
        assert scores.metrics["mae"] == pytest.approx(errors.abs().mean().item(), rel=1e-5)
        assert scores.metrics["rmse"] == pytest.approx(scores.metrics["loss"] ** 0.5)
        assert scores.baseline["mae"] == pytest.approx(points.y.abs().mean().item(), rel=1e-5)


def test_evaluation_keeps_the_mode_and_no_more_than_asked():
    network, runtime = Model().train(), Runtime()
    seen = []
    scores = loop.evaluate(
        network, Line(), batches(Line(), Points(), 7), runtime, keep=10, sink=lambda b, a, t: seen.extend(b.indices)
    )
    assert network.training and seen == list(range(40))
    assert len(scores.answers) == len(scores.truths) == 10


FAULTS = """
import resource, torch
from dlzoo.engine.runtime import Runtime
Runtime()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator")
def test_memory_that_a_step_frees_serves_the_next_one():
    """In a process of its own: what other tests have left in the heap would decide. 64 MiB are 16,384 pages."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    first, *later = map(int, done.stdout.split())
    assert min(later) < 100 < first, done.stdout


HOLES = """
import torch
from dlzoo.engine import allocator
from dlzoo.engine.runtime import Runtime
holes = Runtime().holes
def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
blocks = [torch.ones(1 << 18) for _ in range(200)]
blocks = blocks[1::2]
before = megabytes()
holes.hand_back()
early, allocator.SECONDS = megabytes(), -1.0
holes.hand_back()
print(before, early, megabytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator")
def test_memory_that_no_step_takes_is_handed_back_but_not_at_once():
    """100 blocks of 1 MiB are free between 100 that are not."""
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    before, early, after = map(int, done.stdout.split())
    assert abs(early - before) < 5 and before - after > 90, done.stdout


def test_an_allocator_that_the_environment_tunes_is_left_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *_: calls.append(1)))
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    allocator.keep_freed_memory()
    assert not calls
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    allocator.keep_freed_memory()
    assert calls


def test_weights_go_through_a_file_unchanged(tmp_path):
    shared = torch.randn(4, 3)
    tensors = {
        "a": shared,
        "tied": shared,
        "view": shared[1:],
        "turned": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3),
        "half": torch.randn(3).bfloat16(),
    }
    weights.save(tmp_path / "w", tensors)
    found = weights.load(tmp_path / "w")
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)
    (tmp_path / "bad").write_bytes((tmp_path / "w").read_bytes()[:-1])
    with pytest.raises(RunError):
        weights.load(tmp_path / "bad")


def process(rank: int, world: int, port: int, queue) -> None:
    """One of several processes that find each other as under torchrun."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    network, rows, runtime = trained(12, points=Points(41))
    scores = loop.evaluate(network, Line(), Scored(Line(), Points(41), 4, runtime.processes), runtime, detail=True)
    values = runtime.processes.gather({"rank": rank, "array": np.arange(rank)})
    queue.put(
        {
            "weights": {name: value.tolist() for name, value in network.state_dict().items()},
            "rows": rows,
            "ranks": [(value["rank"], value["array"].tolist()) for value in values],
            "scores": scores.metrics,
            "baseline": scores.baseline,
            "count": scores.count,
        }
    )
    runtime.processes.leave()


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_equal_one(world):
    """41 pieces: the last windows are uneven, and leave a process without any."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)  # the same everywhere: the first to ask starts it for all
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    queue = context.Queue()
    children = [context.Process(target=process, args=(rank, world, port, queue), daemon=True) for rank in range(world)]
    for child in children:
        child.start()
    found = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(30)
        child.close()
    alone, rows, runtime = trained(12, points=Points(41))
    scores = loop.evaluate(alone, Line(), batches(Line(), Points(41), 4), runtime, detail=True)
    for one in found:
        assert one["ranks"] == [(rank, list(range(rank))) for rank in range(world)] and one["count"] == 41
        assert one["scores"] == pytest.approx(scores.metrics, rel=1e-5) and one["scores"] == found[0]["scores"]
        assert one["baseline"] == pytest.approx(scores.baseline, rel=1e-5)
        assert np.allclose(one["rows"], rows, rtol=1e-4)
        assert one["weights"] == found[0]["weights"]
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(torch.tensor(one["weights"][name]), value, rtol=1e-5, atol=1e-6)


def test_a_lone_process_pays_nothing():
    processes = Processes(torch.device("cpu"))
    assert processes.main and processes.total([3.0]) == [3.0] and processes.gather("x") == ["x"]


@pytest.mark.parametrize("foreign", [True, False])
def test_a_step_seeds_numpy_and_python_where_code_may_run_that_is_not_dlzoos(foreign, monkeypatch):
    monkeypatch.setattr(Registry, "foreign", lambda _: foreign)
    runtime, drawn = Runtime(), []
    for _ in range(2):
        runtime.begin(3)
        drawn.append((float(torch.rand(())), float(np.random.rand()), random.random()))
    assert drawn[0][0] == drawn[1][0]
    assert (drawn[0][1:] == drawn[1][1:]) == foreign


def test_only_what_is_imported_is_foreign(tmp_path, monkeypatch):
    own = Registry("model", "dlzoo.models")
    assert not own.foreign()
    (tmp_path / "mine.py").write_text('@MODELS.register("mine")\nclass Mine: ...\n')
    own.load(tmp_path / "mine.py")
    assert own.foreign()


def test_on_cuda_a_batch_is_pinned_and_the_host_does_not_wait(monkeypatch):
    said = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: said.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: said.append(non_blocking) or tensor)
    Batch({"x": torch.zeros(2), "codes": [torch.zeros(1)]}, {}, 2).to(torch.device("cuda"))
    assert said == ["pinned", True, "pinned", True]


def test_cuda_graphs_are_a_mode_of_the_compiler_and_each_step_is_marked(monkeypatch):
    marked, modes = [], []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marked.append(True))
    monkeypatch.setattr(nn.Module, "compile", lambda _, mode: modes.append(mode))
    for graphs in (False, True):
        runtime = Runtime(Train(compile=True, cuda_graphs=graphs))
        runtime.place(nn.Linear(2, 2), compile=True)
        runtime.begin(0)
    assert modes == ["default", "reduce-overhead"] and len(marked) == 1


@pytest.mark.parametrize(("key", "value"), [("precision", "tf32"), ("cuda_graphs", True)])
def test_what_only_cuda_has_is_refused_elsewhere(key, value):
    train = {"compile": True, key: value, "device": "cpu"}
    config = from_dict({"task": "image_classification", "data": "digits", "model": "lenet", "train": train}, "test")
    with pytest.raises(ConfigError, match=f"train.{key}: is for CUDA"):
        build(config, Runtime(config.train))
