"""Rows of a Parquet file, streamed in the form of delimited text. Needs pyarrow, the extra `parquet`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlzoo.data.delimited import CHUNK, Rows, missing_column
from dlzoo.data.location import existing, shown
from dlzoo.errors import DataError


class Parquet:
    """A Parquet file: its columns with their types, and its rows in chunks, as text. Row 1 is the first."""

    def __init__(self, path: str | Path):
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise DataError(f"{path}: Parquet needs pyarrow. Install it: pip install 'dlzoo[parquet]'.") from None
        self.path = existing(path, folder=False)
        self.name = shown(path)
        try:
            with pq.ParquetFile(self.path) as file:
                schema = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.name}: not a Parquet file that can be read ({error}).") from None
        self.columns: list[str] = list(schema.names)
        self.unnamed: set[str] = set()
        self.types: dict[str, str] = {}
        for field in schema:
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type):
                self.types[field.name] = "number"
            elif pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or field.name.startswith("__index"):
                self.types[field.name] = "ignore"
            else:
                self.types[field.name] = "category"

    def index(self, column: str) -> int:
        """The place of a column. Raises DataError with the columns that there are."""
        if column in self.columns:
            return self.columns.index(column)
        raise missing_column(self.name, column, self.columns)

    def chunks(self) -> Iterator[Rows]:
        """The rows, some thousand at a time; missing values are empty cells."""
        import pyarrow.parquet as pq

        start = 1
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(CHUNK):
                columns = [
                    self._text(column, self.types[name]) for name, column in zip(self.columns, batch, strict=True)
                ]
                yield Rows(list(range(start, start + len(batch))), [list(row) for row in zip(*columns, strict=True)])
                start += len(batch)

    def _text(self, column: Any, kind: str) -> list[str]:
        import pyarrow as pa

        if kind == "ignore":
            return [""] * len(column)
        if pa.types.is_floating(column.type):
            return ["" if value is None or value != value else repr(value) for value in column.to_pylist()]
        return ["" if value is None else value for value in column.cast(pa.string()).to_pylist()]
