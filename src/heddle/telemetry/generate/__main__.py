"""Run the generator: ``python -m heddle.telemetry.generate [--check] [--root FOLDER]``.

It exits 1 when the catalogue has a problem, and with ``--check`` also when a file is stale. Before it: a person or
``make``. After: ``outputs``.
"""

import argparse
import sys
from pathlib import Path

from heddle.telemetry import catalog
from heddle.telemetry.generate import outputs


def main(arguments: list[str]) -> int:
    """Check the catalogue, then write or compare the files; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m heddle.telemetry.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: the current folder)")
    parser.add_argument("--runbook-base", default="docs/runbooks", help="what precedes <alert>.md in alerts' links")
    options = parser.parse_args(arguments)
    root: Path = options.root
    if problems := catalog.check():
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return 1
    if options.check:
        paths = outputs.stale(root=root, runbook_base=options.runbook_base)
        sys.stderr.write("".join(f"stale: {path}; run `python -m heddle.telemetry.generate`\n" for path in paths))
        return 1 if paths else 0
    paths = outputs.write(root=root, runbook_base=options.runbook_base)
    sys.stdout.write("".join(f"written: {path}\n" for path in paths))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
