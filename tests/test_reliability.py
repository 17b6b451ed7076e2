"""The quick rows of every table of tests/reliability hold; `scripts/reliability` runs all of them."""

from pathlib import Path

import pytest
from reliability import TABLES, listed
from reliability.table import Skipped

QUICK = [pytest.param(row, id=row.number) for table in TABLES for row in table.rows if row.quick]


@pytest.mark.parametrize("row", QUICK)
def test_what_is_promised_holds(row, tmp_path):
    place = tmp_path / "here"
    place.mkdir()
    try:
        row.check(place)
    except Skipped as reason:
        pytest.skip(str(reason))


def test_rows_have_numbers_of_their_own():
    numbers = [row.number for table in TABLES for row in table.rows]
    assert len(numbers) == len(set(numbers))


def test_the_page_has_every_row():  # scripts/reliability --write brings it up to date
    assert listed() in (Path(__file__).parent.parent / "docs" / "reliability.md").read_text()
