"""Rows mlp, cnn and gpt: samples a second in training, beside a bare loop, a tuned one, and every peer there is."""

from functools import cache

from benchmarks import pairs
from benchmarks.pairs import Participant, median, ratio
from benchmarks.settings import Settings
from benchmarks.table import Table, spread

UPDATES = {"mlp": 1500, "cnn": 60, "gpt": 30}
"""Of a turn: some seconds."""
SAMPLES = {"mlp": 128, "cnn": 128, "gpt": 16}
CONTEXT = 128
PEERS = ["tuned", "dlzoo", "bare", "dlzoo with clipping", "tutorial", "transformers", "fastai"]


def measure(workload: str, settings: Settings) -> Table:
    """Participants by name: rate and ratios to the tuned loop; dlzoo against the bare one."""
    found = turns(workload, settings)
    table = Table(["", "samples/s (CPU)", "of tuned, CPU time", "of tuned, wall time", "first step", "peak memory"])
    tuned = next(iter(found.values()))
    for one in found.values():
        last = one.turns[-1]
        table.lines.append(
            [
                one.name,
                f"{median(one.rates())[0] * SAMPLES[workload]:,.0f}",
                *(spread(ratio(one.rates(clock), tuned.rates(clock))) for clock in ("cpu", "wall")),
                f"{last['first']:.1f} s",
                f"{last['peak']:,.0f} MiB",
            ]
        )
    if {"dlzoo", "bare"} <= found.keys():
        own, bare = found["dlzoo"], found["bare"]
        by = {clock: spread(ratio(own.rates(clock), bare.rates(clock))) for clock in ("cpu", "wall")}
        table.notes.append(f"dlzoo's speed against bare: {by['cpu']} by CPU time, {by['wall']} by wall time.")
    return table


def tokens(settings: Settings) -> Table:
    """Row tokens: the gpt row's rates as tokens a second."""
    found = turns("gpt", settings)
    table = Table(["", "tokens/s (CPU time)", "tokens/s (wall time)"])
    for one in found.values():
        rates = (median(one.rates(clock))[0] * SAMPLES["gpt"] * CONTEXT for clock in ("cpu", "wall"))
        table.lines.append([one.name, *(f"{rate:,.0f}" for rate in rates)])
    return table


@cache
def turns(workload: str, settings: Settings) -> dict[str, Participant]:
    """All turns of the participants that can be had, the first of `peers` first."""
    present = [one for peer in settings.peers if (one := pairs.start(peer, workload, settings)) is not None]
    try:
        pairs.interleaved(present, settings.some(UPDATES[workload]), settings.rounds)
    finally:
        for one in present:
            one.close()
    return {one.name: one for one in present}
