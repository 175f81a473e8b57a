"""Keep the development key: one API key of the tenant `default`, the same over restarts, for this machine's user only.

It is written to the state directory with the owner's rights alone and exists in development only; the database holds
its hash like that of any other key. Before it: `heddle up`. After it: `dev.json`, the command line, the console.
"""

import datetime
import pathlib

from heddle.client import keys
from heddle.service import secret

FILE = "dev.key"
TENANT = "default"
NAME = "development"
SCOPES = frozenset({"read", "write", "admin"})


def ensure(*, state_dir: pathlib.Path) -> str:
    """Give the key, made and registered when it is not; a database that does not know it gets it again."""
    from heddle.store import django as django_store

    path = state_dir / FILE
    key = path.read_text().strip() if path.exists() else ""
    if not keys.is_key(key):
        key = keys.new_key()
        secret.write_private(path=path, text=key)
    doors = django_store.DjangoDoors()
    if doors.api_key(key_hash=keys.key_hash(key), now=datetime.datetime.now(datetime.UTC)) is None:
        doors.create_api_key(tenant=TENANT, name=NAME, key_hash=keys.key_hash(key), scopes=SCOPES, expires_at=None)
    return key
