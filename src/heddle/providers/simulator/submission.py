"""Parses a job request once, at the simulator's edge, into a frozen record, or says which field is wrong.

It decides nothing about acceptance, money or faults. Before it `jobs_api` has read the body under its cap; after it
`desk` accepts or refuses.
"""

import hashlib
import ipaddress
import json
import typing
import urllib.parse
from dataclasses import dataclass

from heddle.providers.simulator import jobs, picture

MODEL_CHARACTERS_MAX = 100
WEBHOOK_URL_CHARACTERS_MAX = 2_000
SIDE_DEFAULT_PX = 512
FIELDS = frozenset({"model", "input", "webhook", "client_job_id"})
INPUT_FIELDS = frozenset({"prompt", "scene", "seed", "width", "height", "output_format"})


class Malformed(ValueError):
    """Say that a body is not a JSON object."""


class Invalid(ValueError):
    """Say which field of a body is wrong and what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request for a job. digest is the sha256 of its canonical JSON; two bodies with one digest are one request."""

    model: str
    request: jobs.PictureRequest
    webhook_url: str | None
    client_job_id: str | None
    digest: str


def parse(content: bytes) -> Submission:
    """Parse a request body. Raises Malformed or Invalid."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    _refuse_unknown(body, FIELDS, prefix="")
    wanted = body.get("input")
    if not isinstance(wanted, dict):
        raise Invalid("input must be an object with prompt, seed, width and height.")
    _refuse_unknown(wanted, INPUT_FIELDS, prefix="input.")
    prompt_name = "scene" if "scene" in wanted and "prompt" not in wanted else "prompt"
    output_format = wanted.get("output_format", "jpeg")
    if not isinstance(output_format, str) or output_format not in picture.MEDIA_TYPES:
        raise Invalid(f"input.output_format must be one of {', '.join(picture.MEDIA_TYPES)}.")
    request = jobs.PictureRequest(
        prompt=_text(wanted.get(prompt_name), f"input.{prompt_name}", jobs.PROMPT_CHARACTERS_MAX),
        seed=_integer(wanted.get("seed", 0), "input.seed", 0, jobs.SEED_MAX),
        width_px=_integer(
            wanted.get("width", SIDE_DEFAULT_PX), "input.width", picture.SIDE_MIN_PX, picture.SIDE_MAX_PX
        ),
        height_px=_integer(
            wanted.get("height", SIDE_DEFAULT_PX), "input.height", picture.SIDE_MIN_PX, picture.SIDE_MAX_PX
        ),
        output_format=output_format,
    )
    client_job_id, webhook = body.get("client_job_id"), body.get("webhook")
    return Submission(
        model=_text(body.get("model"), "model", MODEL_CHARACTERS_MAX),
        request=request,
        webhook_url=None if webhook is None else _loopback_url(webhook),
        client_job_id=None
        if client_job_id is None
        else _text(client_job_id, "client_job_id", jobs.CLIENT_JOB_ID_CHARACTERS_MAX),
        digest=hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
    )


def _refuse_unknown(body: dict[str, typing.Any], known: frozenset[str], *, prefix: str) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise Invalid(f"{prefix}{unknown[0][:100]} is not a field of this request; {', '.join(sorted(known))} are.")


def _text(value: object, field: str, characters_max: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= characters_max:
        raise Invalid(f"{field} must be a text of 1 to {characters_max} characters.")
    return value


def _integer(value: object, field: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Invalid(f"{field} must be a whole number from {low} to {high}.")
    return value


def _loopback_url(value: object) -> str:
    """Accept callbacks to this machine only, so that the simulator can never be made to call anybody else."""
    text = _text(value, "webhook", WEBHOOK_URL_CHARACTERS_MAX)
    try:
        parts = urllib.parse.urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback, parts = False, urllib.parse.urlsplit("")
    if not is_loopback or parts.scheme != "http":
        raise Invalid("webhook must be an http URL on this machine, such as http://127.0.0.1:8000/callbacks/x/y.")
    return text
