"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability import data_pictures, data_sequences, data_splits, data_tables
from reliability.data import DATA
from reliability.faults import FAULTS

TABLES = [FAULTS, DATA]
__all__ = ["TABLES", "data_pictures", "data_sequences", "data_splits", "data_tables"]
