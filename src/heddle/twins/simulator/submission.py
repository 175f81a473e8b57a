"""Read a job request once into an order, or say which field is wrong.

It decides nothing about acceptance, money or faults. Before it: the twin has read the body under its cap. After it: the
twin accepts or refuses.
"""

import dataclasses
import hashlib
import json
from typing import Final

from heddle.core import identity
from heddle.twins.kit import callbacks, calls, jobs, painter, studio

CLIENT_JOB_ID_CHARACTERS_MAX: Final = 200
PROMPT_CHARACTERS_MAX: Final = 4_000
SEED_MAX: Final = 2**63 - 1
MODEL_CHARACTERS_MAX: Final = 100
WEBHOOK_URL_CHARACTERS_MAX: Final = 2_000
SIDE_DEFAULT_PX: Final = 512
FIELDS: Final = frozenset({"model", "input", "webhook", "client_job_id"})
INPUT_FIELDS: Final = frozenset({"prompt", "scene", "seed", "width", "height", "output_format"})


def parse(content: bytes) -> jobs.Order:
    """Read a request body; two bodies whose canonical JSON is the same have one digest. Raises calls.Refused."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise calls.Refused(400, "malformed", f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise calls.Refused(400, "malformed", "The body must be a JSON object.")
    _refuse_unknown(body, FIELDS, prefix="")
    wanted = body.get("input")
    if not isinstance(wanted, dict):
        raise _invalid("input must be an object with prompt, seed, width and height.")
    client_job_id, webhook = body.get("client_job_id"), body.get("webhook")
    return jobs.Order(
        operation="jobs",
        model=_text(body.get("model"), "model", MODEL_CHARACTERS_MAX),
        digest=hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
        amount_nano_usd=0,
        id_prefix="job_",
        client_reference=None
        if client_job_id is None
        else _text(client_job_id, "client_job_id", CLIENT_JOB_ID_CHARACTERS_MAX),
        callback_url=None if webhook is None else _loopback_url(webhook),
        data=dataclasses.asdict(_picture(wanted)),
    )


def _picture(wanted: dict[str, identity.JsonValue]) -> studio.Picture:
    _refuse_unknown(wanted, INPUT_FIELDS, prefix="input.")
    prompt_name = "scene" if "scene" in wanted and "prompt" not in wanted else "prompt"
    output_format = wanted.get("output_format", "jpeg")
    if not isinstance(output_format, str) or output_format not in painter.MEDIA_TYPES:
        raise _invalid(f"input.output_format must be one of {', '.join(painter.MEDIA_TYPES)}.")
    width_px, height_px = (
        _integer(wanted.get(side, SIDE_DEFAULT_PX), f"input.{side}", painter.SIDE_MIN_PX, painter.SIDE_MAX_PX)
        for side in ("width", "height")
    )
    return studio.Picture(
        prompt=_text(wanted.get(prompt_name), f"input.{prompt_name}", PROMPT_CHARACTERS_MAX),
        seed=_integer(wanted.get("seed", 0), "input.seed", 0, SEED_MAX),
        width_px=width_px,
        height_px=height_px,
        output_format=output_format,
    )


def _invalid(message: str) -> calls.Refused:
    return calls.Refused(422, "invalid_input", message)


def _refuse_unknown(body: dict[str, identity.JsonValue], known: frozenset[str], *, prefix: str) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise _invalid(f"{prefix}{unknown[0][:100]} is not a field of this request; {', '.join(sorted(known))} are.")


def _text(value: object, field: str, characters_max: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= characters_max:
        raise _invalid(f"{field} must be a text of 1 to {characters_max} characters.")
    return value


def _integer(value: object, field: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _invalid(f"{field} must be a whole number from {low} to {high}.")
    return value


def _loopback_url(value: object) -> str:
    """Accept callbacks to this machine only, so that the simulator can never be made to call anybody else."""
    text = _text(value, "webhook", WEBHOOK_URL_CHARACTERS_MAX)
    if not text.startswith("http://") or not callbacks.is_loopback(text):
        raise _invalid("webhook must be an http URL on this machine, such as http://127.0.0.1:8000/callbacks/x/y.")
    return text
