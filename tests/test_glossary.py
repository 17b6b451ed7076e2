"""One word for one thing: what a user can write in a config is in docs/glossary.md."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from dlzoo import config, optim, schedules
from dlzoo.registry import REGISTRIES

GLOSSARY = Path(__file__).resolve().parent.parent / "docs" / "glossary.md"
SECTIONS = [
    config.Config,
    config.Split,
    config.Train,
    config.Evaluate,
    *get_args(optim.Optimizer),
    *get_args(schedules.Schedule),
]


def words() -> list[str]:
    rows = [line.split("|")[1] for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_every_argument_is_a_word_of_the_glossary():
    known = set(words())
    arguments = {p.name: entry.place for r in REGISTRIES.values() for entry in r.entries() for p in entry.parameters}
    unknown = [f"{name} ({place})" for name, place in sorted(arguments.items()) if name not in known]
    assert not unknown, f"add to docs/glossary.md, or use the word that is there: {', '.join(unknown)}"


def test_every_key_of_a_config_is_a_word_of_the_glossary():
    unknown = {f"{section.__name__}.{f.name}" for section in SECTIONS for f in fields(section) if f.name not in words()}
    assert not unknown


def test_a_word_stands_for_one_thing():
    found = words()
    assert sorted(found) == sorted(set(found))


def test_shipped_words_are_used():
    arguments = {p.name for r in REGISTRIES.values() for entry in r.entries() for p in entry.parameters}
    keys = {f.name for section in SECTIONS for f in fields(section)}
    assert set(words()) <= arguments | keys
