"""`python -m dlzoo`: the console script `dlzoo` where that is not on the PATH.

Python puts the working folder first among the places that it imports from. It is taken out again, unless dlzoo itself
is there, so that a torch.py or yaml.py that lies in a folder of data is never run.
"""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from dlzoo.cli import main  # noqa: E402

main()
