"""The command line: reads arguments, calls one function of run/, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from dlzoo import __version__, jsontext
from dlzoo.catalogue import info, list_
from dlzoo.errors import DataError, RunError, UserError, printable
from dlzoo.options import (
    BatchSize,
    ConfigOption,
    Device,
    Imports,
    Json,
    JsonLines,
    KeepFormulas,
    RunArgument,
    Sets,
    bars,
    words_and_options,
)
from dlzoo.proofs import reproduce, selftest, verify_resume
from dlzoo.registry import extend
from dlzoo.terminal import guarded, outlast, watched

START = f"""\
dlzoo {__version__}: deep learning from one YAML file. Three commands to begin with:

  dlzoo train --config configs/image_classification/digits_lenet.yaml
  dlzoo evaluate last
  dlzoo predict last FILE...

  dlzoo list       what there is: tasks, models, datasets, configs
  dlzoo info NAME  every argument of one of them, with its meaning
  dlzoo check      whether a config, its data and its model fit together
  dlzoo --help     all commands
"""

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Trains, evaluates and uses deep learning models from one YAML file.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dlzoo {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Without a command: where to begin."""
    if context.invoked_subcommand is None:
        print(START, end="")


@app.command()
def train(
    config: ConfigOption = None,
    set_: Sets = None,
    name: Annotated[str | None, typer.Option(help="Name of the run's folder; else the config's.")] = None,
    device: Device = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Train one model a fold; report mean and deviation.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a run that was stopped.", metavar="RUN")] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.", metavar="DIR")] = Path("runs"),
    import_: Imports = None,
    json: Json = False,
) -> None:
    """Train a model in a new run folder, or go on with a run."""
    imports = extend(import_)
    if resume is None and config is None:
        raise UserError("say what to train: --config FILE, or --resume RUN to go on with a run")
    if resume is not None and folds is not None:
        raise UserError("--folds and --resume do not go together")
    if resume is not None and (name or config is None and (set_ or device)):
        raise RunError("a run goes on with its own config: leave out --set, --name and --device, or start a new run")
    from dlzoo.run.opened import opened

    with opened(config, set_, name, device) if config is not None else nullcontext() as built:
        from dlzoo.run import folds as many
        from dlzoo.run import train as run

        outlast()
        shared: dict[str, Any] = {"root": runs, "imports": imports, "argv": sys.argv, "quiet": json}
        outcome: Any
        if resume is not None:
            outcome = run.resume(resume, config=built, **shared)
        elif built is not None:
            outcome = many.folds(built, folds, **shared) if folds is not None else run.train(built, **shared)
    if json and os.environ.get("RANK", "0") == "0":
        jsontext.show(outcome.to_dict())
    raise typer.Exit(outcome.code)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def evaluate(
    context: typer.Context,
    run: RunArgument,
    data: Annotated[Path | None, typer.Option(help="Other data of the same kind.", metavar="PATH")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    min_: Annotated[
        list[str] | None, typer.Option("--min", help="Exit 8 below this: accuracy=0.9.", metavar="METRIC=VALUE")
    ] = None,
    max_: Annotated[
        list[str] | None, typer.Option("--max", help="Exit 8 above this: mae=12.", metavar="METRIC=VALUE")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for metrics and predictions.", metavar="DIR")
    ] = None,
    device: Device = None,
    batch_size: BatchSize = None,
    import_: Imports = None,
    json: Json = False,
) -> None:
    """Score a run's model, with 95 % intervals and the trivial baseline beside it.

    Options that `dlzoo predict RUN --help` shows for the run's task are taken, too: the answers with them are scored.
    """
    words, options = words_and_options([run, *context.args])
    if len(words) != 1:
        raise UserError(f"one RUN is scored at a time; got {len(words)}: {printable(' '.join(words))}")
    imports = extend(import_)
    minimum, maximum = bars("--min", min_), bars("--max", max_)
    from dlzoo.run.evaluate import evaluate

    evaluate(
        words[0],
        data=data,
        split=split,
        minimum=minimum,
        maximum=maximum,
        output=output,
        options=options,
        device=device or "auto",
        batch_size=batch_size,
        imports=imports,
        json=json,
    )


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def predict(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, or a model folder alone.", metavar="RUN")] = None,
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, globs, or - for stdin.", metavar="INPUT...")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to a file .csv or .jsonl, or into a folder.", metavar="PATH"),
    ] = None,
    device: Device = None,
    batch_size: BatchSize = None,
    import_: Imports = None,
    json: JsonLines = False,
    keep_formulas: KeepFormulas = False,
    help_: Annotated[bool, typer.Option("--help", help="Show this message; with a RUN, its own options too.")] = False,
) -> None:
    """Answer files with a run's model: one answer a sample, in order, with its source."""
    words, options = words_and_options([*([run] if run else []), *(inputs or [])])
    if help_ or not words:
        print(context.get_help())
        if not words:
            raise typer.Exit(0 if help_ else 2)
    imports = extend(import_)
    if help_:
        from dlzoo.run.predict import load_task, options_of

        task = load_task(words[0], imports)
        _print_options(words[0], options_of(task), task.answer.__doc__)
        return
    if len(words) < 2:
        raise UserError(f"nothing to predict: dlzoo predict {printable(words[0])} FILE..., or - to read from stdin")
    from dlzoo.run.predict import predict

    code = predict(
        words[0],
        words[1:],
        output=output,
        options=options,
        device=device or "auto",
        batch_size=batch_size,
        imports=imports,
        json=json,
        keep_formulas=keep_formulas,
    )
    raise typer.Exit(code)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def chat(
    context: typer.Context,
    run: RunArgument,
    system: Annotated[str | None, typer.Option(help="What the conversation begins with.", metavar="TEXT")] = None,
    device: Device = None,
    import_: Imports = None,
    json: JsonLines = False,
) -> None:
    """Talk with a run's model, in the terminal or through pipes: each line of stdin is a turn, each of stdout a reply.

    Options of `dlzoo predict RUN --help` are taken, too: --temperature, --top-k, --max-new-tokens, --seed ...
    """
    words, options = words_and_options([run, *context.args])
    if len(words) != 1:
        raise UserError(f"dlzoo chat takes one RUN, and its turns from the terminal or stdin; got {len(words)} words")
    imports = extend(import_)
    from dlzoo.run.chat import chat

    raise typer.Exit(
        chat(words[0], options=options, system=system, device=device or "auto", imports=imports, json=json)
    )


@app.command()
def check(
    config: ConfigOption = None,
    set_: Sets = None,
    data: Annotated[bool, typer.Option("--data", help="Read all of the data once.")] = False,
    step: Annotated[bool, typer.Option("--step", help="Run one real step; forecast time and memory.")] = False,
    import_: Imports = None,
    json: Json = False,
) -> None:
    """See whether a config, its data and its model fit together."""
    if config is None:
        raise UserError("say what to check: --config FILE")
    extend(import_)
    from dlzoo.run.opened import opened

    with opened(config, set_) as built:
        from dlzoo.run import check as run

        report = run.check(built, data=data, step=step)
    jsontext.show({"config": str(config), **report}) if json else run.show(str(config), report)
    raise typer.Exit(DataError.code if run.failed(report) else 0)


app.command("verify-resume")(verify_resume)
app.command()(reproduce)
app.command()(selftest)


@app.command()
def profile(config: ConfigOption = None, set_: Sets = None, import_: Imports = None, json: Json = False) -> None:
    """See where the time of an update goes, and what would make it shorter."""
    if config is None:
        raise UserError("say what to profile: --config FILE")
    extend(import_)
    from dlzoo.run.opened import opened

    with opened(config, set_) as built:
        from dlzoo.run import profile as run

        report = run.profile(built)
        jsontext.show({"config": str(config), **report}) if json else run.show(report)


app.command("list")(list_)
app.command()(info)


def _print_options(run: str, options: dict[str, Any], doc: str | None) -> None:
    """What `predict` takes for one run besides its own options, with the meanings that `answer`'s docstring gives."""
    from dlzoo.registry.parameter import arguments, spelled

    print(f"Options of {printable(run)}'s task:" if options else f"{printable(run)}'s task has no options of its own.")
    meanings = arguments(doc)
    for name, parameter in options.items():
        default = "null" if parameter.default is None else parameter.default
        head = f"--{name.replace('_', '-')} {spelled(parameter.annotation).upper()}"
        print(f"  {head:32}{meanings.get(name, '')}  [default: {default}]")


def main() -> None:
    """The console script `dlzoo`."""
    with guarded(), watched():
        app()
