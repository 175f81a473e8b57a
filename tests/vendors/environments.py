"""Know the vendors' packages that cannot be locked beside ours, make their environments, say what is missing.

`python -m tests.vendors.environments` makes all of them, or those that are named; `python -m tests.programs` does so
too. Each is installed from its lock file into a folder that version control ignores, and made again only when that
file has changed. What needs gigabytes is not here.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".vendors"
STAMP = ".heddle-requirements"
PREFIX = "vendors/"  # of the names by which `needs` asks for an environment
NAMES = ("cog", "comfyui", "huggingface", "mlflow", "runpod", "vertex")
INSTALL_TIMEOUT_S = 300


def refusal(name: str) -> str | None:
    """Return why a test with this vendor's packages cannot run here, with the command that would change it, or None."""
    if _is_current(name):
        return None
    command = f"{sys.executable} -m tests.vendors.environments {name}"
    return f"the packages of {_requirements(name).name} are not installed in .vendors/{name}: {command}"


def python(name: str) -> pathlib.Path:
    """Return the Python of an environment."""
    return FOLDER / name / "bin" / "python"


def install(names: Sequence[str] = NAMES) -> int:
    """Make what is missing or old and return a process status; what cannot be made is told and will be skipped."""
    uv = _uv()
    for name in names:
        if _is_current(name):
            continue
        if uv is None:
            print(f"uv was not found; the tests of {name}'s packages will be skipped.", file=sys.stderr)
            continue
        print(f"Making .vendors/{name}")
        place = FOLDER / name
        try:
            _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)])
            arguments = ["--quiet", "--require-hashes", "--python", str(python(name))]
            _run([uv, "pip", "sync", *arguments, str(_requirements(name))])
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{error}; the tests of {name}'s packages will be skipped.", file=sys.stderr)
            continue
        (place / STAMP).write_text(digest(name))
    return 0


def _is_current(name: str) -> bool:
    stamp = FOLDER / name / STAMP
    return stamp.is_file() and stamp.read_text() == digest(name)


def digest(name: str) -> str:
    """Name what an environment is made of: its lock file, and the Python that it is for."""
    version = ".".join(map(str, sys.version_info[:2]))
    return hashlib.sha256(version.encode() + _requirements(name).read_bytes()).hexdigest()


def _requirements(name: str) -> pathlib.Path:
    return pathlib.Path(__file__).with_name(f"requirements-{name}.txt")


def _uv() -> str | None:
    """Find uv, which the lock file puts beside our Python."""
    beside = pathlib.Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S)


if __name__ == "__main__":
    unknown = sorted(set(sys.argv[1:]) - set(NAMES))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: there are {', '.join(NAMES)}.")
    sys.exit(install(sys.argv[1:] or NAMES))
