"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from importlib import import_module
from pkgutil import iter_modules

for module in iter_modules(__path__):
    if module.name != "warm":  # which is for the processes of commands alone
        import_module(f"{__name__}.{module.name}")  # a table, or rows of one

from reliability.table import TABLES  # noqa: E402

TABLES.sort(key=lambda table: ("resume", "faults", "data", "config", "attacks", "damage", "ablation").index(table.name))
__all__ = ["TABLES", "listed"]


def listed() -> str:
    """All rows, as docs/reliability.md has them; rows of one promise stand together."""
    lines = []
    for table in TABLES:
        lines += ["", f"### {table.name}", "", "| row | what is promised | held by |", "|---|---|---|"]
        for row in table.rows:
            promise = row.promise.replace("|", "\\|")
            lines.append(f"| {row.number} | {promise} | {'test' if row.quick else 'script'} |")
    return "\n".join(lines[1:])
