"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability import (
    attacks_code,
    attacks_data,
    attacks_names,
    attacks_runs,
    data_pictures,
    data_sequences,
    data_splits,
    data_tables,
)
from reliability.attack import ATTACKS
from reliability.config import CONFIG
from reliability.data import DATA
from reliability.faults import FAULTS

TABLES = [FAULTS, DATA, CONFIG, ATTACKS]
__all__ = [
    "TABLES",
    "attacks_code",
    "attacks_data",
    "attacks_names",
    "attacks_runs",
    "data_pictures",
    "data_sequences",
    "data_splits",
    "data_tables",
]
