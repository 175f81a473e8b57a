"""The layers and the purity of rooms, as import-linter sees them, and what it cannot see."""

import ast
import os
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOUSE = ROOT / "src" / "heddle"


def test_imports_then_every_contract_is_kept() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}
    command = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-logo"]

    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


def test_layers_then_every_room_has_its_place_in_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "layers")["layers"]
    placed = {word.strip("() ") for layer in layers for word in layer.replace("|", ":").split(":")}
    rooms = {path.name for path in HOUSE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in HOUSE.glob("*.py") if path.stem != "__init__"}

    assert rooms | modules <= placed


def test_modules_then_none_imports_the_lazy_front_door() -> None:
    """Importing a public name from `heddle` inside the house would hide the layer it comes from."""
    parts = {path.stem for path in HOUSE.iterdir()}
    guilty = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for path in HOUSE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name == "heddle" for alias in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "heddle"
            and any(alias.name not in parts for alias in node.names)
        )
    ]

    assert guilty == []


def test_front_door_when_imported_then_no_django_and_no_driver_is_loaded() -> None:
    program = "import sys, heddle; print([name for name in ('django', 'psycopg', 'aiohttp') if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "[]"
