"""Run `heddle worker` with the adapter of `bench.instant` known besides the product's own; nothing else differs."""

import sys

from bench import instant
from heddle import cli

if __name__ == "__main__":
    instant.make_known()
    sys.exit(cli.main())
