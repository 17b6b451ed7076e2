"""Row folder: loading a folder of pictures with two workers, beside torchvision's ImageFolder in torch's DataLoader."""

from benchmarks import pairs, pictures
from benchmarks.pairs import Ran, median, ratio
from benchmarks.settings import Settings, module
from benchmarks.table import Table, spread

PEERS = ("dlzoo", "torchvision")
WORKERS = 2


def measure(settings: Settings) -> Table:
    """Seconds of the first epoch and of the second, CPU seconds of both, and dlzoo's speed against torchvision."""
    where = pictures.folder(settings)
    commands = {peer: module("loading", peer, where, WORKERS, settings.threads) for peer in PEERS}
    found = pairs.fresh(commands, settings)
    count = found["dlzoo"][0].facts["pictures"]
    table = Table(["", "first epoch", "each later epoch", "CPU time of two epochs", "peak memory"])
    for peer, turns in found.items():
        first, second = (median(_epoch(turns, number))[0] for number in (0, 1))
        seconds, most = median(_cpu(turns))[0], median([turn.peak for turn in turns])[0]
        table.lines.append([peer, f"{first:.2f} s", f"{second:.2f} s", f"{seconds:.2f} s", f"{most:,.0f} MiB"])
    own, other = found["dlzoo"], found["torchvision"]
    speed = [spread(ratio(_epoch(other, number), _epoch(own, number))) for number in (0, 1)]
    cost = spread(ratio(_cpu(other), _cpu(own)))
    table.lines.append(["dlzoo's speed", *speed, cost, ""])
    table.notes.append(f"{count:,} pictures, {WORKERS} workers; memory is that of the largest process.")
    return table


def _epoch(turns: list[Ran], number: int) -> list[float]:
    return [turn.facts["epochs"][number] for turn in turns]


def _cpu(turns: list[Ran]) -> list[float]:
    """CPU seconds from the making of the loader to the end, the workers' too."""
    return [turn.cpu - turn.facts["before"] for turn in turns]
