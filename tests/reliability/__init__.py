"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability.config import CONFIG
from reliability.faults import FAULTS

TABLES = [FAULTS, CONFIG]
