"""`python -m dlzoo`."""

from dlzoo.cli import main

main()
