"""Row workers: pictures a second that dlzoo loads with no worker process, with one and with two."""

from benchmarks import pairs, pictures
from benchmarks.pairs import median, ratio
from benchmarks.settings import Settings, module
from benchmarks.table import Table, spread

WORKERS = (0, 1, 2)


def measure(settings: Settings) -> Table:
    """Pictures a second of wall time in the first epoch and in the second; how many times no worker's that is."""
    where = pictures.folder(settings)
    commands = {str(n): module("loading", "dlzoo", where, n, settings.threads) for n in WORKERS}
    found = pairs.fresh(commands, settings)
    rates = {
        name: [[turn.facts["pictures"] / turn.facts["epochs"][number] for turn in turns] for number in (0, 1)]
        for name, turns in found.items()
    }
    table = Table(["train.workers", "pictures/s, first epoch", "of 0 workers", "pictures/s, later", "of 0 workers"])
    for name, epochs in rates.items():
        cells = [
            (f"{median(own)[0]:,.0f}", spread(ratio(own, none))) for own, none in zip(epochs, rates["0"], strict=True)
        ]
        table.lines.append([name, *cells[0], *cells[1]])
    return table
