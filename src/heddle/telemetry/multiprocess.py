"""Keep the directory through which several processes share one set of metrics.

``heddle up`` runs one web process and several workers; each writes its numbers to files here and the web process adds
them up. This module makes and cleans the directory and forgets the dead. It measures nothing, and imports nothing that
would read the environment, since prometheus_client decides at its import which mode it is in. Before it: the
supervisor. After: the recorder of each process.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that prometheus_client reads when it is imported."""


def prepare(*, directory: Path, environment: MutableMapping[str, str]) -> None:
    """Make the directory, empty it of earlier numbers, and name it in the environment of the processes to come.

    Call it once, before any process that records is started and before this one imports the recorder. Only files of our
    own kind (``*.db``) are removed. Counters begin at zero again, as Prometheus expects after a restart.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)
    environment[ENVIRONMENT] = os.fspath(directory)


def forget(*, directory: Path, pid: int) -> None:
    """Drop the gauges of a process that has ended; its counters and histograms stay in the totals.

    Called by whoever waits for the process, once it is reaped. A second call finds nothing and does nothing.
    """
    for file in directory.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)
