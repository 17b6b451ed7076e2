"""`dlzoo selftest`: what must change no result on this machine (micro-batches, processes, batch sizes, padding), tried
on bundled data, and by how much each of it does.
"""

from __future__ import annotations

import json as json_
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from dlzoo.errors import BelowBar, ResourceError
from dlzoo.run.forked import fork, warm
from dlzoo.run.measure import AGAIN, CASES, MICRO, SIZES, WORLDS, Measured, batch_statistics, measure

RTOL = 1e-5
"""What another order of a sum may change, in proportion to the largest number of a tensor, or to a score."""
DOUBLE = 1e-12
"""The same where only sums of float64 are in another order: every sample has been through the same arithmetic."""
LEAST = 0.1
"""The largest number counts as this at least: small ones may be what is left of sums of larger ones."""
SECONDS = 300.0
"""After which processes that wait for each other are given up."""
STATISTICS = "batch statistics"


@dataclass(frozen=True)
class Line:
    """One comparison."""

    what: str
    case: str
    delta: float | None
    """The largest difference, in proportion; None for a model with batch statistics, which is named, not compared."""
    allowed: float = RTOL

    @property
    def held(self) -> bool:
        """Whether the difference is one that is allowed."""
        return self.delta is None or self.delta <= self.allowed

    def __str__(self) -> str:
        changes = STATISTICS if self.delta is None else "nothing" if self.delta == 0 else f"{self.delta:.1e}"
        allowed = "not compared" if self.delta is None else "nothing" if self.allowed == 0 else f"{self.allowed:g}"
        return f"{self.what:30}{self.case:32}{changes:18}{allowed}{'' if self.held else '  EXCEEDED'}"


def selftest(*, json: bool = False) -> list[Line]:
    """Make every comparison and print it. Raises BelowBar where one does not hold."""
    started = time.monotonic()
    varying = {case.name for case in CASES if batch_statistics(warm(case.config).network)}
    with tempfile.TemporaryDirectory(prefix="dlzoo-selftest-") as folder:
        for world in WORLDS:
            _together(Path(folder), world)
        lines = list(_compared({world: Measured.load(Path(folder), world) for world in WORLDS}, varying))
    broken = [line for line in lines if not line.held]
    if json:
        rows = [asdict(line) | {"held": line.held} for line in lines]
        print(json_.dumps({"held": not broken, "lines": rows}, ensure_ascii=False, indent=2))
    else:
        print(f"{'what':30}{'with':32}{'changes':18}allowed", *lines, sep="\n")
    if broken:
        first = f"{broken[0].what}, {broken[0].case}: {broken[0].delta:.1e}"
        raise BelowBar(f"{len(broken)} of {len(lines)} comparisons do not hold: {first}")
    if not json:
        print(f"all {len(lines)} hold ({time.monotonic() - started:.0f} s)")
    return lines


def _together(folder: Path, world: int) -> None:
    """Measure in `world` processes that meet on the loopback device. Raises ResourceError where one of them fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    try:
        for rank in range(world):
            child = fork(partial(_measure, folder, rank, world, port), folder / f"{world}-{rank}.log")
            children.append(child)
        for rank, child in enumerate(children):
            if child.wait(SECONDS):
                raise ResourceError(f"process {rank} of {world} failed: {child.said}")
    finally:
        for child in children:
            child.kill()


def _measure(folder: Path, rank: int, world: int, port: int) -> int:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    measure(folder)
    return 0


def _compared(found: dict[int, Measured], varying: set[str]) -> Iterator[Line]:
    alone = found[1]
    for case in (case.name for case in CASES):
        gap = _gap(alone.tensors[f"{case} 1x8"], alone.tensors[f"{case} {AGAIN}"])
        yield Line("training once more", case, gap, allowed=0)
    for case in (case.name for case in CASES):
        trained = [] if case in varying else [alone.tensors[f"{case} {way}"] for way in MICRO]
        parts = [_gap(trained[0], other) for other in trained[1:]]
        yield Line(f"accumulation {' = '.join(MICRO)}", case, max(parts, default=None))
    for case in (case.name for case in CASES):
        for world in WORLDS[1:]:
            trained = [] if case in varying else [found[w].tensors[f"{case} 1x8"] for w in (1, world)]
            yield Line(f"training in {world} processes = 1", case, _gap(*trained) if trained else None)
    for case in (case.name for case in CASES):
        one, many = (alone.scores[f"{case} size {size}"] for size in SIZES)
        yield Line(f"evaluation in batches {SIZES[0]} = {SIZES[1]}", case, _apart(one, many))
    for case in (case.name for case in CASES):
        if f"{case} alone" in alone.tensors:
            gap = _gap(alone.tensors[f"{case} alone"], alone.tensors[f"{case} padded"])
            yield Line("padded = unpadded", case, gap)
    for case in (case.name for case in CASES):
        scores = [found[world].scores[f"{case} size {SIZES[0]}"] for world in WORLDS]
        gap = max(_apart(scores[0], other) for other in scores[1:])
        yield Line(f"scores of {', '.join(map(str, WORLDS))} processes", case, gap, allowed=DOUBLE)


def _gap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two tensors of one name, in proportion to the largest number in the first."""
    pairs = [(tensor.double(), other[name].double()) for name, tensor in one.items() if tensor.numel()]
    return _worst([float((a - b).abs().max()) / max(LEAST, float(a.abs().max())) for a, b in pairs])


def _apart(one: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference of two scores of one name, in proportion; infinite where one of them is undefined."""
    if one.keys() != other.keys():
        return math.inf
    pairs = [(one[name], other[name]) for name in one]
    return _worst([abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a != b and not (a != a and b != b)])


def _worst(gaps: list[float]) -> float:
    """The largest; infinite where any is NaN, which compares as neither less nor more."""
    return math.inf if any(gap != gap for gap in gaps) else max(gaps, default=0.0)
