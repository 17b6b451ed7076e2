"""The commands by which dlzoo lets itself be checked: verify-resume, reproduce, selftest; part of the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from dlzoo.errors import UserError
from dlzoo.options import ConfigOption, Imports, Json, RunArgument, Sets
from dlzoo.registry import extend


def verify_resume(
    config: ConfigOption = None,
    set_: Sets = None,
    kill_at: Annotated[int | None, typer.Option(min=1, help="Kill as this step ends; else at random.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Trainings that are killed.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each training; else 60 at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random kills.")] = 0,
    import_: Imports = None,
    json: Json = False,
) -> None:
    """Kill trainings of a config and resume them: does each end bit for bit as the one that was not killed?"""
    if config is None:
        raise UserError("say what to train: --config FILE")
    imports = extend(import_)
    from dlzoo.run.opened import opened

    with opened(config, set_) as built:
        from dlzoo.run.verify import verify_resume

        verify_resume(built, runs=runs, steps=steps, kill_at=kill_at, seed=seed, imports=imports, json=json)


def reproduce(run: RunArgument, import_: Imports = None, json: Json = False) -> None:
    """Train a finished run's config again, aside: are weights and scores bit for bit what they were?"""
    imports = extend(import_)
    from dlzoo.run.reproduce import reproduce

    raise typer.Exit(reproduce(run, imports=imports, json=json))


def selftest(json: Json = False) -> None:
    """See in a minute whether accumulation, processes, padding and batch sizes change nothing on this machine."""
    from dlzoo.run.selftest import selftest

    selftest(json=json)
