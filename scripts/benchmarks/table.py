"""What a row found: a table for the terminal and for the page."""

from dataclasses import dataclass, field


@dataclass
class Table:
    """Lines of cells under their heads, and sentences below them."""

    heads: list[str]
    lines: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        rows = [self.heads, *self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.heads))]
        cells = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join([*(f"  {line.rstrip()}" for line in cells), *(f"  {note}" for note in self.notes)])

    def markdown(self) -> str:
        """For a page."""
        rows = [self.heads, ["---"] * len(self.heads), *self.lines]
        return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), *(f"\n{note}" for note in self.notes)])


def spread(found: tuple[float, float, float]) -> str:
    """A median with its interval, unless it is that of one turn."""
    middle, low, high = found
    return f"{middle:.2f}" if low == high else f"{middle:.2f} ({low:.2f} to {high:.2f})"
