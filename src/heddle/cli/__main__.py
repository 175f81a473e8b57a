"""Let `python -m heddle.cli` be the command line, as the supervisor's children are started."""

import sys

from heddle import cli

if __name__ == "__main__":
    sys.exit(cli.main())
