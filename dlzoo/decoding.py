"""What comes next, token by token: greedy, sampled or by beam search, by steps with a state where the model has them.

A row gets the same tokens alone and in company: all rows stand at the same place of their own text (a longer prompt is
read on while the others already go on), and every row draws from its own generator, keyed by the seed and by its
prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from scores. Raises ConfigError for a number out of its range.

    Args:
        temperature: divides the scores; 0 always takes the best (greedy)
        top_k: only the k best are drawn (Fan et al., 2018)
        top_p: only the best that together have this probability (Holtzman et al., 2020)
        min_p: only those with at least this share of the best one's probability (Nguyen et al., 2024)
        repetition_penalty: makes tokens that stand in the text already less likely; 1 for none (Keskar et al., 2019)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        problems = [
            (self.temperature < 0, f"temperature: {self.temperature} is negative; 0 is greedy"),
            (self.top_k is not None and self.top_k < 1, f"top_k: {self.top_k} leaves nothing to choose; 1 or more"),
            (self.top_p is not None and not 0 < self.top_p <= 1, f"top_p: {self.top_p} is not in (0, 1]"),
            (self.min_p is not None and not 0 <= self.min_p <= 1, f"min_p: {self.min_p} is not in [0, 1]"),
            (self.repetition_penalty <= 0, f"repetition_penalty: {self.repetition_penalty} is not above 0; 1 is none"),
        ]
        if found := [text for wrong, text in problems if wrong]:
            raise ConfigError(found)

    def pick(self, scores: Tensor, seen: Tensor, uniform: Tensor) -> Tensor:
        """The next tokens (B,) from scores (B, V), the tokens `seen` so far (B, V) bool, and numbers (B,) in [0, 1).

        The number is looked up in the cumulative distribution in the order of the vocabulary, so that a last bit in the
        scores does not turn one draw into another.
        """
        scores = scores.float()
        if self.repetition_penalty != 1:
            less = torch.where(scores > 0, scores / self.repetition_penalty, scores * self.repetition_penalty)
            scores = torch.where(seen, less, scores)
        if self.temperature == 0:
            return scores.argmax(-1)
        total = self.filter(scores / self.temperature).softmax(-1).double().cumsum(-1)
        return torch.searchsorted(total, uniform[:, None] * total[:, -1:], right=True)[:, 0].clamp(
            max=scores.shape[-1] - 1
        )

    def filter(self, scores: Tensor) -> Tensor:
        """Scores (B, V) with minus infinity where top_k, then top_p, then min_p leave a token out."""
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            scores = scores.masked_fill(scores < scores.topk(self.top_k).values[:, -1:], -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            p, order = scores.softmax(-1).sort(descending=True, stable=True)
            out = p.cumsum(-1) - p >= self.top_p  # what is better has the whole share already
            scores = scores.masked_fill(torch.zeros_like(out).scatter(-1, order, out), -torch.inf)
        if self.min_p is not None:
            p = scores.softmax(-1)
            scores = scores.masked_fill(p < self.min_p * p.amax(-1, keepdim=True), -torch.inf)
        return scores


class Reader:
    """Scores (B, V) of the next token after all tokens (B, t) so far, for a network with a causal backbone.

    Where the backbone has `step` only the new tokens are read. `window` is the longest sequence that the backbone can
    see: when a state is that long, it is built anew from the last half; without `step`, the last `window` tokens are
    read. `memory` is what an encoder made of a source, for a backbone whose steps look at that.
    """

    def __init__(self, network: nn.Module, window: int | None, memory: Any = None):
        self.network, self.window = network, window
        step = getattr(network.backbone, "step", None)
        self.step = step if step is None or memory is None else partial(step, memory=memory)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.tokens, self.state = torch.empty(0, 0), None
        self.start = self.seen = 0

    def follow(self, tokens: Tensor) -> None:
        """Go on with the state if `tokens` (B, t), which come next, begin with all that was read; else begin anew."""
        known = 0 < self.seen < tokens.shape[1] and not self.start
        if not known or not torch.equal(self.tokens[:, : self.seen], tokens[:, : self.seen]):
            self.forget()

    def __call__(self, tokens: Tensor) -> Tensor:
        t, self.tokens = tokens.shape[1], tokens
        if self.step is None:
            return self.network(x=tokens[:, -self.window :] if self.window else tokens)[:, -1]
        if self.window and t - self.start > self.window:
            self.state, self.start = None, t - max(1, self.window // 2)
            self.seen = self.start
        features, self.state = self.step(tokens[:, self.seen :], self.state)
        self.seen = t
        return self.network.head(features[:, -1:])[:, -1]  # type: ignore[operator]


@torch.no_grad()
def stream(
    network: nn.Module,
    prompts: list[Tensor],
    *,
    new: int,
    sampling: Sampling,
    seed: int = 0,
    end: int | None = None,
    banned: tuple[int, ...] = (),
    window: int | None = None,
    stop: Callable[[list[int]], bool] | None = None,
    memory: Any = None,
    keys: list[Tensor] | None = None,
    reader: Reader | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """Goes on from prompts, each (t,) with a token at least: yields (row, token) of the rows that got one, step by
    step.

    A row ends after `new` tokens, at the token `end`, which is not given out, or when `stop` says so of its tokens.
    `banned` tokens are never chosen. `memory` is the Reader's; `reader` may have read the beginning already. The draws
    of a row depend on its own of `keys`, its prompt where there are none. The network stands in eval mode.
    """
    device = prompts[0].device
    prompts = [prompt[-window:] if window else prompt for prompt in prompts]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    tokens = torch.zeros(len(prompts), int(lengths.max()) + new, dtype=torch.long, device=device)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    uniform = torch.stack([_uniform(seed, key, new) for key in keys or prompts]).to(device)
    read = reader or Reader(network, window, memory)
    read.follow(tokens[:, : int(lengths.min())])
    written: list[list[int]] = [[] for _ in prompts]
    done = [new == 0 for _ in prompts]
    seen: Tensor | None = None
    for t in range(int(lengths.min()), tokens.shape[1]):
        if all(done):
            return
        scores = read(tokens[:, :t])
        if banned:
            scores = scores.index_fill(-1, torch.tensor(banned, device=device), -torch.inf)
        if seen is None:
            seen = torch.zeros(scores.shape, dtype=torch.bool, device=device).scatter(1, tokens[:, :t], True)
        draw = uniform.gather(1, (t - lengths).clamp(0, max(new - 1, 0))[:, None])[:, 0]
        tokens[:, t] = torch.where(t < lengths, tokens[:, t], sampling.pick(scores, seen, draw))
        seen.scatter_(1, tokens[:, t : t + 1], True)
        found = []
        for row, token in enumerate(tokens[:, t].tolist()):
            if done[row] or t < len(prompts[row]):
                continue
            if token == end:
                done[row] = True
                continue
            found.append((row, token))
            written[row].append(token)
            done[row] = len(written[row]) == new or (stop is not None and stop(written[row]))
        yield found


def generate(network: nn.Module, prompts: list[Tensor], **options: object) -> list[list[int]]:
    """The new tokens of every prompt: all that `stream` yields, row by row."""
    written: list[list[int]] = [[] for _ in prompts]
    for found in stream(network, prompts, **options):  # type: ignore[arg-type]
        for row, token in found:
            written[row].append(token)
    return written


UNLIKELY = -1e9
"""The score of what may not be chosen."""
Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]
"""Tokens (N, 1), the state before them (None at first) and a memory to scores (N, V) of the next, and a state."""


@torch.no_grad()
def beam_search(
    step: Step,
    memory: Any,
    first: Tensor,
    *,
    beams: int,
    new: int,
    end: int,
    banned: tuple[int, ...] = (),
    length_penalty: float = 1.0,
) -> list[tuple[list[int], float]]:
    """The best text that follows each token of `first` (B,), and its score: log p / length^length_penalty.

    At each step the `beams` likeliest beginnings of a text go on. One that is among the best `beams` continuations and
    comes to the token `end`, or to `new` tokens, is kept; the search for a row is over when `beams` are kept, and the
    likeliest beginning, were it to end here, is no better than the worst of them. So does it transformers' `generate`
    with early_stopping false. All tensors of a state and of a memory, which may be nested tuples, have the rows first.
    """
    B, device = len(first), first.device
    found: list[tuple[list[int], float]] = [([], 0.0)] * B
    rows = torch.arange(B, device=device)
    memory, state = pick(memory, rows.repeat_interleave(beams)), None
    tokens = first[:, None, None].expand(B, beams, 1)
    running = torch.full((B, beams), UNLIKELY, device=device)
    running[:, 0] = 0  # else all beams would begin alike
    kept = torch.full((B, beams, new), end, device=device)
    scores = torch.full((B, beams), UNLIKELY, device=device)
    ended = torch.zeros(B, beams, dtype=torch.bool, device=device)
    for t in range(1, new + 1):
        last, state = step(tokens[:, :, -1].reshape(-1, 1), state, memory)
        logs = last.float().log_softmax(-1)
        if banned:
            logs = logs.index_fill(-1, torch.tensor(banned, device=device), -torch.inf)
        V = logs.shape[-1]
        best, index = (logs.view(-1, beams, V) + running[:, :, None]).flatten(1).topk(2 * beams)
        beam = index // V
        longer = torch.cat([_rows(tokens, beam), (index % V)[:, :, None]], 2)
        hits = (longer[:, :, -1] == end) | (t == new)
        running, order = (best + hits * UNLIKELY).topk(beams)
        tokens, beam = _rows(longer, order), beam.gather(1, order)
        first_ones = torch.arange(2 * beams, device=device) < beams
        padded = nn.functional.pad(longer[:, :, 1:], (0, new - t), value=end)
        whole = best / t**length_penalty + ~(hits & first_ones) * UNLIKELY
        scores, order = torch.cat([scores, whole], 1).topk(beams)
        kept = _rows(torch.cat([kept, padded], 1), order)
        ended = torch.cat([ended, hits & first_ones], 1).gather(1, order)
        worst = torch.where(ended, scores.amin(1, keepdim=True), UNLIKELY)
        goes_on = (running[:, :1] / t**length_penalty > worst).any(1) & (t < new)
        for row in (~goes_on).nonzero()[:, 0].tolist():
            text = kept[row, 0].tolist()
            found[int(rows[row])] = text[: text.index(end)] if end in text else text, float(scores[row, 0])
        if not goes_on.any():
            break
        places = (torch.arange(len(rows), device=device)[:, None] * beams + beam)[goes_on].flatten()
        state = pick(state, places)
        if not goes_on.all():
            memory = pick(memory, places)
            rows, tokens, running = rows[goes_on], tokens[goes_on], running[goes_on]
            kept, scores, ended = kept[goes_on], scores[goes_on], ended[goes_on]
    return found


def pick(state: Any, rows: Tensor) -> Any:
    """The `rows` of every tensor in nested tuples."""
    return state[rows] if isinstance(state, Tensor) else tuple(pick(part, rows) for part in state)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Of values (B, N, T) those at index (B, K): (B, K, T)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def _uniform(seed: int, key: Tensor, n: int) -> Tensor:
    """`n` numbers in [0, 1) that depend on the seed and on the key alone."""
    text = f"{seed}:{','.join(map(str, key.tolist()))}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
    return torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
