"""What a model with an encoder and a decoder writes for texts: greedy, sampled, or by beam search."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dlzoo.decoding import Sampling, beam_search, generate
from dlzoo.errors import ConfigError
from dlzoo.metrics.metric import Answer
from dlzoo.task import Batch
from dlzoo.transforms.text import END, MASK, PAD, START, UNKNOWN

BANNED = (PAD, UNKNOWN, START, MASK)


def write(
    model: nn.Module,
    batch: Batch,
    *,
    new: int,
    beams: int,
    length_penalty: float | None,
    sampling: dict[str, Any],
    seed: int,
) -> list[Answer]:
    """For each text its `tokens` (T,), of beams their `score`, and how much each looked at the tokens `read` (S,):
    `attention` (T, S), where the backbone has it.

    The backbone has `encode` and `step`. Raises ConfigError for numbers out of their range and for ones that would
    change nothing.
    """
    drawing = Sampling(**sampling)
    _check(new, beams, length_penalty, drawing)
    x, mask = batch.inputs["x"], batch.inputs["mask"]
    backbone: Any = model.backbone
    memory = backbone.encode(x, mask)
    first = torch.full_like(x[:, 0], START)
    if beams > 1:

        def step(tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any]:
            features, state = backbone.step(tokens, state, memory)
            return model.head(features)[:, -1], state  # type: ignore[operator]

        penalty = 1.0 if length_penalty is None else length_penalty
        found = beam_search(step, memory, first, beams=beams, new=new, end=END, banned=BANNED, length_penalty=penalty)
        answers: list[Answer] = [{"score": score} for _, score in found]
        written = [tokens for tokens, _ in found]
    else:
        keys = [row[real] for row, real in zip(x, mask, strict=True)]
        written = generate(
            model,
            list(first[:, None]),
            new=new,
            sampling=drawing,
            seed=seed,
            end=END,
            banned=BANNED,
            memory=memory,
            keys=keys,
        )
        answers = [{} for _ in written]
    for answer, tokens in zip(answers, written, strict=True):
        answer["tokens"] = torch.tensor(tokens, dtype=torch.long)
    if hasattr(backbone, "attention") and any(written):
        before = [torch.tensor([START, *tokens[:-1]], device=x.device) for tokens in written]
        weights = backbone.attention(pad_sequence(before, batch_first=True, padding_value=PAD), memory).float().cpu()
        for answer, own, row, real in zip(answers, weights, x.cpu(), mask.cpu(), strict=True):
            answer |= {"attention": own[: len(answer["tokens"]), real], "read": row[real]}
    return answers


def _check(new: int, beams: int, length_penalty: float | None, sampling: Sampling) -> None:
    problems = [
        (new < 1, f"max_new_tokens: {new} writes nothing; 1 or more"),
        (beams < 1, f"beams: {beams} writes nothing; 1 or more"),
        (beams == 1 and length_penalty is not None, "length_penalty: says nothing where beams is 1"),
        (beams > 1 and sampling != Sampling(0.0), "beams: a search draws nothing; leave out temperature and its kin"),
        (
            sampling.temperature == 0 and (sampling.top_k, sampling.top_p, sampling.min_p) != (None, None, None),
            "temperature: 0 takes the likeliest token, so top_k, top_p and min_p say nothing; set it above 0",
        ),
    ]
    if found := [text for wrong, text in problems if wrong]:
        raise ConfigError(found)
