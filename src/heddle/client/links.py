"""Make the addresses under which files can be fetched without a key, for whoever shows a value to the outside.

A link names one tenant's artifact until a moment and is signed: whoever has it may read the file until then, as with
the vendors' own. Reading one is the gateway's, which serves them. Before it: a value as it is stored. After it: an
answer, or a webhook.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from heddle.core import artifact

FILES_PATH = "/v1/files/"
_PURPOSE = b"heddle.file\x1f"
_ID = re.compile(r"sha256:[0-9a-f]{64}\Z")


def is_artifact_id(text: str) -> bool:
    """Tell whether a text is the id of an artifact."""
    return _ID.match(text) is not None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Make links below ``root_url`` (without a slash at the end) that work for ``lasts_s``."""

    root_url: str
    secret_key: str
    lasts_s: float
    now_s: Callable[[], float]

    def link(self, tenant: str, reference: artifact.Artifact) -> str:
        """Give the address of one file of a tenant."""
        until = int(self.now_s() + self.lasts_s)
        named = json.dumps([tenant, reference.sha256, reference.media_type, reference.size_bytes, until])
        text = base64.urlsafe_b64encode(named.encode()).decode().rstrip("=")
        return f"{self.root_url}{FILES_PATH}{text}.{self.signature(text)}"

    def signature(self, text: str) -> str:
        """Give what proves that a link is ours."""
        return hmac.new(self.secret_key.encode(), _PURPOSE + text.encode(), hashlib.sha256).hexdigest()

    def linked(self, tenant: str, value: Any) -> Any:
        """Give a stored value with every artifact as a link."""
        if isinstance(value, dict):
            reference = _reference(value) if artifact.is_artifact(value) else None
            if reference is not None:
                return self.link(tenant, reference)
            return {name: self.linked(tenant, item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.linked(tenant, item) for item in value]
        return value


def marked(value: Any) -> Any:
    """Give a shown value with its artifacts in their marked form again: a record of exactly our three members."""
    if isinstance(value, dict):
        is_record = set(value) == {"id", "media_type", "size_bytes"}
        reference = _reference(value) if is_record else None
        if reference is not None:
            return reference.as_json()
        return {name: marked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return value


def _reference(value: dict[str, Any]) -> artifact.Artifact | None:
    """Read an artifact; None for what only looks like one, since customers write what they like."""
    try:
        return artifact.Artifact.from_json(value)
    except ValueError:
        return None
