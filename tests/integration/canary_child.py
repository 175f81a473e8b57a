"""Prepare a child of the compute pool for the canary's test: where it finds the pictures it measures."""

import os
import pathlib

from heddle.program import artifacts
from heddle.store import blobs, step_artifacts

FOLDER = "TEST_CANARY_ARTIFACTS"


def storage(folder: pathlib.Path) -> blobs.FilesystemBlobs:
    """Keep pictures in a folder."""
    return blobs.FilesystemBlobs(directory=folder, bytes_max=10_000_000, pixels_max=10_000_000)


if FOLDER in os.environ:
    artifacts.install(step_artifacts.StepArtifacts(storage(pathlib.Path(os.environ[FOLDER]))))
