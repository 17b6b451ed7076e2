"""How conversations are read, and what is said of bad ones."""

import json

import pytest
from made import talks, write

from dlzoo.config import Split
from dlzoo.data.conversations import Conversations
from dlzoo.data.splits import divide
from dlzoo.errors import DataError

GOOD = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi\nthere “you” \u202e"}]


def line(messages=GOOD, **more):
    return json.dumps({"messages": messages, **more}) + "\n"


def test_both_forms_are_the_same_conversations_in_lines_and_in_a_list(tmp_path):
    said = [{"from": "system", "value": "be kind"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    sharegpt = {"id": 1, "conversations": said}
    lines = Conversations(write(tmp_path / "a.jsonl", line(id=7) + "\n" + json.dumps(sharegpt)))
    whole = Conversations(write(tmp_path / "a.json", json.dumps([{"messages": GOOD}, sharegpt], indent=1)))
    assert lines.column("messages") == whole.column("messages")
    assert lines[0] == {"messages": GOOD}
    assert [turn["role"] for turn in lines[1]["messages"]] == ["system", "user", "assistant"]
    assert lines.source(1).endswith("a.jsonl:3") and whole.source(1).endswith("a.json: conversation 2")


def test_files_that_are_named_as_splits_are_splits(tmp_path):
    for name, count in (("train", 20), ("val", 3), ("test", 4)):
        talks(tmp_path / f"{name}.jsonl", count)
    data = Conversations(str(tmp_path))
    assert {name: len(subset) for name, subset in divide(data, Split()).items()} == {
        "train": 20,
        "validation": 3,
        "test": 4,
    }


def test_equal_conversations_stay_in_one_split(tmp_path):
    same = "".join(line([{"role": "user", "content": str(i % 10)}, GOOD[1]]) for i in range(60))
    splits = divide(Conversations(write(tmp_path / "a.jsonl", same)), Split(test=0.2, hold_out=0.2))
    said = [{turns[0]["content"] for turns in subset.column("messages")} for subset in splits.values()]
    assert len(said) == 3 and sum(map(len, said)) == 10


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{\n", "the line is no JSON"),
        ('["hello"]\n', 'this is no conversation. Wanted: {"messages"'),
        ('{"text": "hello"}\n', "this is no conversation"),
        (line([]), "`messages` has no messages"),
        (line("hello"), "`messages` has no messages"),
        (line(["hello"]), "message 1 has the role null; it is one of system, user, assistant"),
        (line([{"role": "robot", "content": "x"}]), "message 1 has the role 'robot'"),
        (line([GOOD[0], {"role": ["a"], "content": "x"}]), 'message 2 has the role ["a"]'),
        (line([GOOD[0], {"role": "assistant", "content": None}]), "message 2: the content is null, and must be text"),
        (line([GOOD[0], {"role": "assistant", "content": [{"type": "image"}]}]), "message 2: the content is [{"),
        ('{"conversations": [{"from": "bing", "value": "x"}]}\n', "message 1 has the from 'bing'"),
        (line(GOOD[:1]), "the assistant has no turn"),
    ],
)
def test_a_bad_conversation_is_named(bad, says, tmp_path):
    path = write(tmp_path / "a.jsonl", line() + bad + line() + bad)
    with pytest.raises(DataError) as error:
        len(Conversations(path))
    first, count = str(error.value).splitlines()
    assert first.startswith(f"{path}:2: ") and says in first and count == "2 conversations are bad."


def test_files_that_hold_no_conversations_are_refused(tmp_path):
    for name, content, says in (
        ("a.jsonl", "\n", "there are no conversations"),
        ("a.json", "[", "the file is no JSON"),
        ("a.json", '{"a": 1}', "a.json: conversation 1: this is no conversation"),
        ("b.jsonl", b"\xff\xfe", "b.jsonl.*UTF-8"),
    ):
        with pytest.raises(DataError, match=says):
            len(Conversations(write(tmp_path / name, content)))
    with pytest.raises(DataError, match="no column 'text', only messages"):
        Conversations(talks(tmp_path / "c.jsonl")).column("text")
