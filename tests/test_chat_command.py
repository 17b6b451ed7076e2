"""`dlzoo chat`: turns through pipes and on a terminal; and `dlzoo predict`, which writes a text as it comes."""

import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest
from made import write
from trained import train

from dlzoo.data.conversations import Conversations
from dlzoo.errors import UserError
from dlzoo.options import words_and_options
from dlzoo.run import chat, portable
from dlzoo.run.predict import convert, predict
from dlzoo.tasks.chat import Chat


def talk(asked, said):
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return json.dumps({"messages": messages}) + "\n"


def trained(folder, talks):
    data = write(folder / "talks.jsonl", "".join(talks))
    recipe = {
        "task": {"name": "chat", "tokenizer": "bytes", "context": 120},
        "data": {"name": "conversations", "path": data},
        "model": {"name": "gpt", "dim": 16, "depth": 1, "heads": 2},
    }
    return train(folder / "run", json.dumps(recipe))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("chat"), [talk(f"{i} “and” {i}", f"is {2 * i}") for i in range(40)])


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A run that goes on and on, in characters of several bytes."""
    return trained(tmp_path_factory.mktemp("endless"), [talk(f"{i}", "–" * 300) for i in range(20)])


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    return train(tmp_path_factory.mktemp("novel") / "run", "austen")


@pytest.fixture
def stdin(monkeypatch):
    def give(text):
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))

    return give


def options(*words):
    return words_and_options(list(words))[1]


def test_each_line_is_a_turn_and_each_reply_a_line(run, stdin, capsys):
    stdin("hello\n\nhow are you?\n")
    assert chat.chat(run, options=options("--max-new-tokens", "20", "--temperature=0.7")) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and not err


def test_what_is_said_before_counts_until_it_is_reset(run, stdin, capsys):
    stdin("hello\nhello\n/reset\nhello\n/exit\nnot read\n")
    assert chat.chat(run, json=True) == 0
    out, err = capsys.readouterr()
    first, second, third = map(json.loads, out.splitlines())
    assert first["source"] == "-:1" and err == "a new conversation\n"
    assert first["reply"] == third["reply"] != second["reply"]


def test_a_reply_is_what_predict_answers_to_the_conversation(run, stdin, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stdin("hello\nwhy?\n/save talk.jsonl\n/save talk.jsonl\n")
    given = options("--seed", "3", "--max-new-tokens", "30", "--stop", "e", "--stop", "zz")
    assert chat.chat(run, options=given, system="be brief", json=True) == 0
    replies = [json.loads(line)["reply"] for line in capsys.readouterr().out.splitlines()]
    kept = Conversations("talk.jsonl")
    assert len(kept) == 2 and kept[0] == kept[1]
    messages = kept[0]["messages"]
    assert messages[0] == {"role": "system", "content": "be brief"}
    assert [turn["content"] for turn in messages[2::2]] == replies
    predict(run, [json.dumps({"messages": messages[:2]}), json.dumps({"messages": messages[:4]})], options=given)
    assert [json.loads(line)["reply"] for line in capsys.readouterr().out.splitlines()] == replies


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"\xff\n", "not UTF-8"),
        (b"/rset\n", "Did you mean '/reset'"),
        (b"/save\n", "FILE.jsonl"),
        (b"/save a.jsonl\n", "nothing to save"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(run, stdin, capsys, line, says):
    stdin(line + b"hello\n")
    assert chat.chat(run, options={"max-new-tokens": "3"}) == 8
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and err.startswith("error: -:1:") and says in err


def test_a_file_that_cannot_be_written_is_named(run, stdin, capsys, tmp_path):
    stdin(f"hello\n/save {tmp_path / 'none' / 'a.jsonl'}\n")
    assert chat.chat(run, options={"max-new-tokens": "3"}) == 8
    assert "No such file" in capsys.readouterr().err


def test_a_run_of_another_task_is_refused_with_what_to_do(novel):
    with pytest.raises(UserError, match="does language_modeling, .* task: chat, or ask this one with dlzoo predict"):
        chat.chat(novel)


def test_an_option_of_one_value_is_refused_twice():
    with pytest.raises(UserError, match="--seed is given 2 times"):
        convert(Chat, options("--seed", "1", "--seed", "2"))
    assert convert(Chat, options("--stop", "a", "--stop=b", "--stop", "c"))["stop"] == ["a", "b", "c"]
    assert convert(Chat, options("--stop", "a"))["stop"] == ["a"]


def test_characters_are_whole_when_they_are_said(endless):
    one = chat.Talk(portable.load(endless), {"max_new_tokens": 60, "temperature": 0.0})
    pieces = list(one.reply("3"))
    assert one.messages[-1] == {"role": "assistant", "content": "".join(pieces)}
    assert len(pieces) >= 20 and not any("\ufffd" in piece for piece in pieces[:-1])


def test_a_reply_that_is_stopped_is_kept_as_far_as_it_came(endless):
    one = chat.Talk(portable.load(endless), {"max_new_tokens": 60, "temperature": 0.0})
    reply = one.reply("hello")
    said = next(reply) + next(reply)
    reply.close()
    assert one.messages[-1]["content"] == said
    assert list(one.reply("go on"))


def test_a_text_on_a_terminal_is_written_as_it_comes_and_the_same(novel, capsys, monkeypatch):
    given = {"max-new-tokens": "30", "seed": "4", "stop": ["ab", "cd"]}
    predict(novel, ["It is a truth"], options=given)
    expected = json.loads(capsys.readouterr().out)["text"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    written = []
    monkeypatch.setattr("sys.stdout.write", lambda text: written.append(text))
    assert predict(novel, ["It is a truth"], options=given) == 0
    assert "".join(written) == expected + "\n" and len(written) > 10
    written.clear()
    assert predict(novel, ["It is", "a truth"], options=given) == 0
    assert len(written) == 2


class Terminal:
    """`dlzoo` with a terminal at its three ends."""

    def __init__(self, *arguments):
        self.end, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dlzoo", *map(str, arguments)],
            **dict.fromkeys(("stdin", "stdout", "stderr"), other),
            start_new_session=True,
            preexec_fn=self.take,
        )
        os.close(other)
        self.shown = ""

    @staticmethod
    def take():
        """Begin as a shell begins what it runs in front: also where these tests run behind, deaf to Ctrl-C."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.end)

    def type(self, text):
        os.write(self.end, text.encode())

    def until(self, text, seconds=60):
        """Wait for `text` to be shown."""
        stop = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < stop, self.shown
            if select.select([self.end], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.end, 4096).decode(errors="replace")
                except OSError:  # closed
                    break
        assert text in self.shown, self.shown
        self.shown = self.shown.partition(text)[2]


def test_ctrl_c_stops_a_reply_and_a_second_one_the_program(endless):
    with Terminal("chat", endless, "--max-new-tokens", "100000", "--temperature", "0") as terminal:
        terminal.until("> ")
        terminal.type("hello\n")
        terminal.until("––")
        terminal.type("\x03")
        terminal.until("Ctrl-C again to end")
        terminal.until("> ")
        terminal.type("/reset\n")
        terminal.until("a new conversation")
        terminal.until("> ")
        time.sleep(0.5)  # Python's input() misses a signal between its prompt and its wait; nobody types that fast
        terminal.type("\x03")
        assert terminal.process.wait(30) == 130


def test_ctrl_d_ends(run):
    with Terminal("chat", run) as terminal:
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.process.wait(30) == 0
