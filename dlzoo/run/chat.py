"""`dlzoo chat RUN`: a conversation with a run's model, on a terminal or through pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from dlzoo import jsontext
from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError, OutputError, UserError, choose, printable
from dlzoo.run import portable
from dlzoo.run.inputs import lines
from dlzoo.run.portable import Portable
from dlzoo.run.predict import convert
from dlzoo.run.streaming import Streaming, pieces, say

HINT = "/reset begins anew, /save FILE.jsonl keeps the conversation, /exit or Ctrl-D ends; Ctrl-C stops a reply"
SAVED = (".jsonl", ".ndjson")


class Talk:
    """A conversation that goes on; what the model has read of it is kept."""

    def __init__(self, model: Portable, options: Mapping[str, Any], system: str | None = None):
        assert isinstance(model.task, Streaming)
        self.model, self.options = model, options
        self.first = [] if system is None else [{"role": "system", "content": system}]
        self.reader = model.task.reader(model.network)
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the system's turn where there is one."""
        self.messages = list(self.first)

    def reply(self, text: str) -> Iterator[str]:
        """What the assistant says to `text`, piece by piece; as much of it as came stands in the conversation."""
        self.messages.append({"role": "user", "content": text})
        written: list[str] = []
        try:
            sample: Sample = {"messages": self.messages}
            for piece in pieces(self.model, self.model.task.encode(sample), self.options, self.reader):
                written.append(piece)
                yield piece
        except (GeneratorExit, KeyboardInterrupt):
            self.reader.forget()  # it may have been in the midst of a step
            raise
        finally:
            self.messages.append({"role": "assistant", "content": "".join(written)})

    def save(self, name: str) -> str:
        """Add the conversation to a file that `train` reads. Raises UserError, or OutputError where that fails."""
        path = Path(name).expanduser()
        if path.suffix.lower() not in SAVED:
            raise UserError("/save FILE.jsonl: conversations are kept as JSON lines; name such a file")
        if len(self.messages) == len(self.first):
            raise UserError("there is nothing to save yet")
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(jsontext.dumps({"messages": self.messages}) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {printable(name)}: {error.strerror}") from error
        return f"added to {printable(name)}"

    def obey(self, line: str) -> str:
        """Do what a line that begins with / says; returns what to tell. Raises EOFError at the end, or UserError."""
        name, _, rest = line.strip().partition(" ")
        if name == "/exit":
            raise EOFError
        if name == "/save":
            return self.save(rest.strip())
        if name == "/reset":
            self.reset()
            return "a new conversation"
        raise UserError(choose(name, ("/reset", "/save", "/exit"), "command"))


def chat(
    run: str | Path,
    *,
    options: Mapping[str, str | list[str]] | None = None,
    system: str | None = None,
    device: str = "auto",
    imports: list[Path] | None = None,
    json: bool = False,
) -> int:
    """Talk with a run's model: on a terminal in turns, else each line of stdin is a turn, and each of stdout a reply.

    options: of the task's `answer`, as typed. Returns 0; 8 where some lines could not be answered. Raises UserError for
    a run that was not trained on conversations.
    """
    model = portable.load(run, device=device, imports=imports or [])
    if "messages" not in model.task.needs:
        name = model.config.task.name
        raise UserError(
            f"{printable(str(run))} does {name}, which knows no turns: train one with task: chat, "
            f"or ask this one with dlzoo predict {printable(str(run))} INPUT"
        )
    talk = Talk(model, convert(model.task, options or {}), system)
    if sys.stdin.isatty() and sys.stdout.isatty() and not json:
        _on_terminal(talk)
        return 0
    return _through_pipes(talk, json)


def _on_terminal(talk: Talk) -> None:
    import readline  # noqa: F401  # lines can be edited, and earlier ones called back

    print(HINT, file=sys.stderr)
    while True:
        try:
            line = input("> ")
            if line.startswith("/"):
                print(talk.obey(line), file=sys.stderr)
                continue
        except EOFError:
            return
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        if line.strip():
            try:
                with closing(talk.reply(line)) as reply:  # type: ignore[type-var]
                    say(reply)
            except KeyboardInterrupt:
                print("\nstopped; Ctrl-C again to end", file=sys.stderr)


def _through_pipes(talk: Talk, json: bool) -> int:
    failed = False
    for number, line in lines(cast(BufferedReader, sys.stdin.buffer)):
        if line is None or (isinstance(line, str) and not line.strip()):
            continue
        try:
            if isinstance(line, DataError):
                raise line
            if line.startswith("/"):
                print(talk.obey(line), file=sys.stderr)
                continue
        except EOFError:
            break
        except UserError as error:
            print(f"error: -:{number}: {printable(str(error))}", file=sys.stderr)
            failed = True
            continue
        reply = "".join(talk.reply(line))
        print(jsontext.dumps({"source": f"-:{number}", "reply": reply}) if json else printable(reply), flush=True)
    return 8 if failed else 0
