"""The commands that say what there is: list and info; part of the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from dlzoo import jsontext
from dlzoo.errors import UserError
from dlzoo.options import Imports, Json, KindArgument
from dlzoo.registry import extend


def list_(
    what: Annotated[KindArgument | None, typer.Argument(help="Leave out for everything.", metavar="KIND")] = None,
    task: Annotated[str | None, typer.Option(help="Only models that fit this task.", metavar="TASK")] = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Of models for pictures: weights, multiply-adds of one of 3 x 224 x 224.")
    ] = False,
    import_: Imports = None,
    json: Json = False,
) -> None:
    """List tasks, models, datasets, configs, optimizers or schedules."""
    extend(import_)
    from dlzoo.run import listing

    if task is not None and what not in (None, "models"):
        raise UserError("--task chooses among models: dlzoo list models --task TASK")
    found = listing.listed("models" if task is not None else what, task, costs)
    jsontext.show(found) if json else listing.show_list(found)


def _complete_names(incomplete: str) -> list[str]:
    from dlzoo.run.listing import names

    return [name for name in names() if name.startswith(incomplete)]


def info(
    name: Annotated[
        str,
        typer.Argument(
            help="A model, task, dataset, optimizer or schedule.", metavar="NAME", autocompletion=_complete_names
        ),
    ],
    import_: Imports = None,
    json: Json = False,
) -> None:
    """Show what something is, and every argument with type, default and meaning."""
    extend(import_)
    from dlzoo.run import listing

    found = listing.info(name)
    jsontext.show(found) if json else listing.show_info(found)
