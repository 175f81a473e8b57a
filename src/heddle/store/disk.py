"""Tell when a disk has too little left to write to, before the database or an artifact finds out halfway."""

import pathlib
import shutil

# PostgreSQL takes its log in files of 16 MiB and stops dead when it cannot make the next one; a few of them must fit.
LEAST_BYTES = 64 * 1024**2
_MIB = 1024**2


def shortage(folder: pathlib.Path) -> str | None:
    """Say that too little is left where this folder is or will be made, and what to do; None when there is enough."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    if free_bytes >= LEAST_BYTES:
        return None
    return f"{free_bytes // _MIB} MiB are left at {place}; free space: docs/runbooks/HeddleDiskFilling.md"
