"""Row generate: text from a gpt of 4 blocks of 128, with its keys and values kept and by reading all of it again.

    python -m benchmarks.generate TOKENS ROUNDS THREADS

Both take turns in one process; prints the seconds of each, and whether all tokens were the same.
"""

import json
import sys
import time

from benchmarks import pairs
from benchmarks.pairs import median, ratio
from benchmarks.settings import Settings, module
from benchmarks.table import Table, spread

TOKENS, CONTEXT, PROMPT = 256, 512, "It is a truth universally acknowledged, "


def measure(settings: Settings) -> Table:
    """Seconds with and without the cache, their ratio, and whether both write the same."""
    new = settings.some(TOKENS)
    found = pairs.run(module("generate", new, settings.rounds, settings.threads), settings).facts
    kept, again = found["kept"], found["again"]
    table = Table(["", f"{new} tokens", "tokens/s"])
    for name, seconds in (("keys and values kept (dlzoo predict)", kept), ("all read again", again)):
        middle = median(seconds)[0]
        table.lines.append([name, f"{middle:.3f} s", f"{new / middle:,.0f}"])
    same = "the same tokens" if found["same"] else "OTHER TOKENS: this is a bug"
    table.notes.append(f"Kept is {spread(ratio(again, kept))} times as fast; both write {same}.")
    return table


def main() -> None:
    """Both ways in turns, in one process."""
    new, rounds, threads = map(int, sys.argv[1:])
    import torch

    from dlzoo.decoding import Sampling, generate
    from dlzoo.engine.runtime import Runtime
    from dlzoo.run.built import build
    from dlzoo.schema.reader import from_dict

    config = from_dict(
        {
            "task": {"name": "language_modeling", "context": CONTEXT},
            "data": {"name": "austen", "hold_out": 0},
            "model": {"name": "gpt", "dim": 128, "depth": 4, "heads": 4},
            "train": {"threads": threads},
        }
    )
    built = build(config, Runtime(config.train))
    network = built.network.eval()
    prompt = torch.as_tensor(built.task.tokenizer.encode(PROMPT)).long()  # type: ignore[attr-defined]
    step = network.backbone.step
    seconds: dict[str, list[float]] = {"kept": [], "again": []}
    same = True
    for number in range(-1, rounds):
        written = {}
        for way in ("kept", "again") if number % 2 == 0 else ("again", "kept"):
            network.backbone.step = step if way == "kept" else None  # type: ignore[assignment]
            began = time.perf_counter()
            written[way] = generate(network, [prompt], new=new, sampling=Sampling(), window=CONTEXT)
            if number >= 0:
                seconds[way].append(time.perf_counter() - began)
        same &= written["kept"] == written["again"]
    print(json.dumps({**seconds, "same": same}))


if __name__ == "__main__":
    main()
