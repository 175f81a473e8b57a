"""Say how an artifact is handed to a browser: what it may do there, how long it may be kept, its file name.

Bytes came from customers and providers. Pictures, sound and film that a browser shows without running anything are
shown; everything else, SVG and HTML above all, is only saved. The doors that serve artifacts stand before this; it
reads nothing.
"""

from heddle.core import artifact

_SHOWN = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/gif",
        "image/avif",
        "video/mp4",
        "video/webm",
        "audio/webm",
        "audio/wav",
        "audio/mpeg",
        "audio/ogg",
    }
)
PICTURES = frozenset(media_type for media_type in _SHOWN if media_type.startswith("image/"))


def etag(reference: artifact.Artifact) -> str:
    """Give the entity tag: content is named by its hash, so it never changes under one tag."""
    return f'"{reference.sha256}"'


def is_same(reference: artifact.Artifact, if_none_match: str | None) -> bool:
    """Tell whether the caller has these bytes already (RFC 9110, section 13.1.2)."""
    if not if_none_match:
        return False
    held = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in held or etag(reference) in held


def headers(reference: artifact.Artifact) -> dict[str, str]:
    """Give the headers under which the bytes travel. Private: no shared cache may keep what only one tenant may see."""
    is_shown = reference.media_type in _SHOWN
    extension = reference.media_type.rpartition("/")[2] if is_shown else "bin"
    disposition = "inline" if is_shown else "attachment"
    return {
        "Content-Type": reference.media_type if is_shown else _saved_type(reference.media_type),
        "Content-Length": str(reference.size_bytes),
        "Content-Disposition": f'{disposition}; filename="{reference.sha256[:16]}.{extension}"',
        "ETag": etag(reference),
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Accept-Ranges": "none",
    }


def _saved_type(media_type: str) -> str:
    """Never name a type that a browser would run, even for a download."""
    return (
        media_type
        if media_type in ("application/json", "application/pdf", "text/plain")
        else "application/octet-stream"
    )
