"""One participant of a benchmark in a process of its own: builds a workload, then runs as many updates as it is told.

    python -m benchmarks.participant PEER WORKLOAD DATA THREADS

Prints a JSON line when it is ready, then, for each number of updates that comes on stdin, one with the CPU and wall
seconds of the training part alone, the last loss, the peak memory, and the seconds to the first update of all: those
of getting ready and of the first turn, not those of waiting for it. All peers train the same model on the same data
with AdamW at 1e-3 in batches of one size; each in the way that its own tutorial shows.
"""

import contextlib
import gzip
import json
import os
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = time.perf_counter()
PEER, WORKLOAD, DATA, THREADS = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
BATCH = {"mlp": 128, "cnn": 128, "gpt": 16}[WORKLOAD]
CONTEXT = 128
EPOCH = 469
"""Updates of Fashion-MNIST: dlzoo saves after so many of smaller data too."""

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(0)


class GPT(nn.Module):
    """4 layers of 128, learned positions, over bytes: torch's own encoder layers, with a causal mask."""

    def __init__(self, vocab=256, dim=128, layers=4, heads=4):
        super().__init__()
        self.token, self.place = nn.Embedding(vocab, dim), nn.Embedding(CONTEXT, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, vocab)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT), persistent=False)

    def forward(self, x):
        x = self.encoder(self.token(x) + self.place.weight, mask=self.mask, is_causal=True)
        return self.out(self.norm(x)).transpose(1, 2)


def model() -> nn.Module:
    if WORKLOAD == "gpt":
        return GPT()
    if WORKLOAD == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    convs = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convs += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10))


def arrays() -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, whole, as a bare loop likes them: ready in memory."""
    if WORKLOAD == "gpt":
        text = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
        count = (len(text) - 1) // CONTEXT
        return text[: count * CONTEXT].view(count, CONTEXT), text[1 : count * CONTEXT + 1].view(count, CONTEXT)
    images = idx("train-images-idx3-ubyte.gz").float().div_(255).sub_(0.286).div_(0.353)
    return images.unsqueeze(1), idx("train-labels-idx1-ubyte.gz").long()


TEXT = Path(__file__).resolve().parents[2] / "dlzoo/data/bundled/pride_and_prejudice.txt"


def idx(name: str) -> torch.Tensor:
    with gzip.open(DATA / name) as file:
        dims = struct.unpack(">I", file.read(4))[0] & 255
        shape = struct.unpack(f">{dims}I", file.read(4 * dims))
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(shape)


class Span:
    """CPU and wall seconds from `begin` to `end`; the seconds that the process took to its first update."""

    first: float | None = None
    ready = turn = START

    def begin(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def step(self) -> None:
        if Span.first is None:
            Span.first = (Span.ready - START) + (time.perf_counter() - Span.turn)

    def end(self, loss: float | None = None) -> dict[str, float | None]:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"wall": wall, "cpu": cpu, "loss": loss}


class Bare:
    """The loop that everybody writes first, on tensors in memory; `tuned`: fused AdamW, channels_last weights."""

    def __init__(self, tuned: bool = False):
        self.x, self.y = arrays()
        self.model = model()
        if tuned and WORKLOAD == "cnn":
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3, fused=tuned)

    def run(self, updates: int) -> dict[str, float | None]:
        span, done = Span(), 0
        span.begin()
        while done < updates:
            order = torch.randperm(len(self.x))
            for start in range(0, min(len(self.x) - BATCH + 1, (updates - done) * BATCH), BATCH):
                chosen = order[start : start + BATCH]
                loss = F.cross_entropy(self.model(self.x[chosen]), self.y[chosen])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
                span.step()
                done += 1
        return span.end(loss.item())


class Tutorial:
    """A tutorial's loop: a DataLoader over a TensorDataset, a progress bar, the loss read in every step."""

    def __init__(self):
        self.x, self.y = arrays()
        self.model = model()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)

    def run(self, updates: int) -> dict[str, float | None]:
        from torch.utils.data import DataLoader, TensorDataset
        from tqdm import tqdm

        loader = DataLoader(TensorDataset(self.x, self.y), BATCH, shuffle=True, drop_last=True)
        span, done = Span(), 0
        span.begin()
        while done < updates:
            for x, y in tqdm(loader, file=sys.stderr):
                loss = F.cross_entropy(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                last = loss.item()
                span.step()
                done += 1
                if done == updates:
                    break
        return span.end(last)


class Dlzoo:
    """`dlzoo train` as a user calls it, with its defaults: progress, log, metrics and checkpoints; timed is Fit.go."""

    def __init__(self, clip: float | None = None):
        from dlzoo.run import fit, train
        from dlzoo.schema.reader import from_dict

        self.clip, self.train, self.from_dict = clip, train.train, from_dict
        go, take = fit.Fit.go, fit.Session.take

        def timed(this):
            self.span.begin()
            go(this)
            self.found = self.span.end(float(self.last))
            raise Stop

        def taken(this, row):
            self.span.step()
            self.last = row.loss
            take(this, row)

        fit.Fit.go, fit.Session.take = timed, taken

    def config(self, updates: int) -> dict[str, Any]:
        task: Any
        net: dict[str, Any]
        if WORKLOAD == "gpt":
            task = {"name": "language_modeling", "tokenizer": "bytes", "context": CONTEXT}
            data = {"name": "texts", "path": str(TEXT), "unit": "document", "test": 2000, "hold_out": 0}
            net = {"name": "gpt", "dim": 128, "depth": 4, "heads": 4}
        else:
            task, data = "image_classification", {"name": "idx", "path": str(DATA), "hold_out": 0}
            net = {"name": "mlp", "dim": 64, "depth": 1}
            if WORKLOAD == "cnn":
                net = {"name": "lenet", "channels": [16, 32], "hidden": [128], "kernel": 3}
        return {
            "task": task,
            "data": data,
            "model": net,
            "optimizer": {"name": "adamw", "lr": 1e-3},
            "train": {"steps": updates, "batch_size": BATCH, "threads": THREADS, "clip": self.clip},
            "evaluate": {"every": EPOCH},
        }

    def run(self, updates: int) -> dict[str, float | None]:
        self.span = Span()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(open(os.devnull, "w")):  # noqa: SIM115
            with contextlib.suppress(Stop):
                self.train(self.from_dict(self.config(updates)), root=Path(folder), quiet=True)
        return self.found


class Stop(Exception):  # noqa: N818
    """The training part is over; the test is not timed and not wanted."""


class Transformers:
    """transformers' Trainer."""

    def __init__(self):
        import transformers

        self.library, (self.x, self.y), self.model = transformers, arrays(), model()
        transformers.logging.set_verbosity_error()

    def run(self, updates: int) -> dict[str, float | None]:
        span, x, y = Span(), self.x, self.y

        class Wrapped(nn.Module):
            def __init__(this):  # noqa: N805
                super().__init__()
                this.model = self.model

            def forward(this, x, labels):  # noqa: N805
                outputs = this.model(x)
                return {"loss": F.cross_entropy(outputs, labels), "logits": outputs}

        class Rows(torch.utils.data.Dataset):
            def __len__(this):  # noqa: N805
                return len(x)

            def __getitem__(this, i):  # noqa: N805
                return {"x": x[i], "labels": y[i]}

        class Timed(self.library.TrainerCallback):  # type: ignore[name-defined]
            def on_train_begin(this, *_, **__):  # noqa: N805
                span.begin()

            def on_step_end(this, *_, **__):  # noqa: N805
                span.step()

            def on_train_end(this, *_, **__):  # noqa: N805
                this.found = span.end()

        timed, wrapped = Timed(), Wrapped()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            arguments = self.library.TrainingArguments(
                folder,
                max_steps=updates,
                per_device_train_batch_size=BATCH,
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                dataloader_drop_last=True,
                logging_steps=50,
                dataloader_pin_memory=False,
                lr_scheduler_type="constant",
                learning_rate=1e-3,
            )
            optimizer = torch.optim.AdamW(wrapped.parameters(), 1e-3)
            self.library.Trainer(
                wrapped, arguments, train_dataset=Rows(), callbacks=[timed], optimizers=(optimizer, None)
            ).train()
        return timed.found


class Fastai:
    """fastai's Learner."""

    def __init__(self):
        from fastai import basics

        self.library, (self.x, self.y), self.model = basics, arrays(), model()

    def run(self, updates: int) -> dict[str, float | None]:
        from functools import partial

        from torch.utils.data import Subset, TensorDataset

        span, lib = Span(), self.library

        class Timed(lib.Callback):  # type: ignore[name-defined]
            def before_fit(this):  # noqa: N805
                span.begin()

            def after_batch(this):  # noqa: N805
                span.step()

            def after_fit(this):  # noqa: N805
                this.learn.found = span.end()

        rows = TensorDataset(self.x, self.y)
        own = lib.DataLoader(
            Subset(rows, [i % len(rows) for i in range(updates * BATCH)]), bs=BATCH, shuffle=True, num_workers=0
        )
        loaders = lib.DataLoaders(own, lib.DataLoader(Subset(rows, range(BATCH)), bs=BATCH, num_workers=0))
        optimizer = partial(lib.OptimWrapper, opt=torch.optim.AdamW)
        learner = lib.Learner(
            loaders, self.model, loss_func=nn.CrossEntropyLoss(), opt_func=optimizer, lr=1e-3, cbs=[Timed()]
        )
        with contextlib.redirect_stdout(sys.stderr):
            learner.fit(1)
        return learner.found


PEERS: dict[str, Callable[[], Any]] = {
    "bare": Bare,
    "tuned": lambda: Bare(tuned=True),
    "tutorial": Tutorial,
    "dlzoo": Dlzoo,
    "dlzoo with clipping": lambda: Dlzoo(clip=1.0),
    "transformers": Transformers,
    "fastai": Fastai,
}


def main() -> None:
    peer = PEERS[PEER]()
    Span.ready = time.perf_counter()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        Span.turn = time.perf_counter()
        found = peer.run(int(line))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "first": Span.first, "peak": peak}), flush=True)


if __name__ == "__main__":
    main()
