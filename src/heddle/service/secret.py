"""Keep the key that sessions and callback tokens are signed with, for installations that name none.

It is made once in the state directory, readable by its owner only, and stays the same over restarts. This module
refuses to replace a key: to change it, name one with HEDDLE_SECRET_KEY. Before it: whoever loads the settings.
"""

import os
import pathlib
import secrets

FILE = "secret.key"
KEY_BYTES = 48


def secret_key(*, state_dir: pathlib.Path) -> str:
    """Give the key of this state directory, made by the first caller; of two at once, both get the same."""
    path = state_dir / FILE
    if not path.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
        write_private(path=draft, text=secrets.token_urlsafe(KEY_BYTES))
        try:
            # A link, unlike a rename, refuses to replace the key of whoever was faster.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def write_private(*, path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
