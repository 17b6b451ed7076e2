"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability.faults import FAULTS

TABLES = [FAULTS]
