"""Serve pictures and videos. Before it: the twin. After it: ``kit.media``."""

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from typing import Final

from heddle.core import identity
from heddle.twins.kit import answers, calls, jobs, media, server
from heddle.twins.openai import chat, desk, texts

Object = dict[str, identity.JsonValue]
PICTURE_NANO_USD: Final = 40_000_000
VIDEO_SECOND_NANO_USD: Final = 100_000_000
PICTURES_MAX: Final = 10
VIDEO_BYTES_PER_S: Final = 4_096
VIDEO_KEPT_S: Final = 3_600
_SIZE: Final = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})\Z")
_OUTPUT_TOKENS: Final = 272  # of a small picture of low quality
_STATUSES: Final = {
    jobs.Status.QUEUED: "queued",
    jobs.Status.RUNNING: "in_progress",
    jobs.Status.SUCCEEDED: "completed",
    jobs.Status.FAILED: "failed",
    jobs.Status.CANCELLED: "failed",
}


class MediaRoutes:
    """The routes that answer with pictures and videos."""

    def __init__(self, shared: desk.Desk) -> None:
        self._desk = shared

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.paid("/v1/images/generations", self._generate),
            server.paid("/v1/images/edits", self._edit),
            server.paid("/v1/images/variations", self._edit),
            server.Route(method="GET", path="/files/pictures/{name}", handler=self._picture, is_open=True),
            server.paid("/v1/videos", self._submit),
            server.paid("/v1/videos/{id}/remix", self._remix),
            server.question("GET", "/v1/videos", self._videos),
            server.question("GET", "/v1/videos/{id}", self._video),
            server.question("GET", "/v1/videos/{id}/content", self._content),
            server.Route(method="DELETE", path="/v1/videos/{id}", handler=self._delete),
        ]

    async def _generate(self, call: calls.Call) -> answers.Answer:
        return await self._pictures(call, call.json(), operation="images_generate", tokens_in_pictures=0)

    async def _edit(self, call: calls.Call) -> answers.Answer:
        parts = call.form()
        fields = {part.name: part.body.decode("utf-8", "replace") for part in parts if part.filename is None}
        pictures = [part for part in parts if part.name in ("image", "image[]") and part.filename is not None]
        if not pictures:
            raise chat.refused("image", "Missing required parameter: 'image'.")
        if any(not part.media_type.startswith("image/") for part in pictures):
            message = (
                "Invalid file 'image': unsupported mimetype; supported are 'image/jpeg', 'image/png', 'image/webp'."
            )
            raise calls.Refused(400, "unsupported_file_mimetype", message, field="image")
        fields.setdefault("prompt", "a variation" if call.path.endswith("variations") else "")
        return await self._pictures(
            call, fields, operation="images_edit", tokens_in_pictures=_OUTPUT_TOKENS * len(pictures)
        )

    async def _pictures(
        self,
        call: calls.Call,
        body: Mapping[str, identity.JsonValue],
        *,
        operation: str,
        tokens_in_pictures: int,
    ) -> answers.Answer:
        model = chat.model_of({"model": "gpt-image-1", **body})
        prompt = body.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise chat.refused("prompt", "Missing required parameter: 'prompt'.")
        if "forbidden" in prompt:
            message = "Your request was rejected as a result of our safety system."
            raise calls.Refused(400, "moderation_blocked", message, field="prompt")
        count = chat.whole_number(body, "n", default=1, low=1, high=PICTURES_MAX)
        width_px, height_px = _size(body.get("size"))
        form = str(body.get("output_format") or "png")
        if form not in ("png", "jpeg", "webp"):
            raise chat.refused("output_format", "Invalid value: supported are 'png', 'jpeg' and 'webp'.")
        order = jobs.Order(
            operation=operation,
            model=model,
            digest=call.digest,
            amount_nano_usd=PICTURE_NANO_USD * count,
            id_prefix="img-",
            is_job=False,
        )
        if not model.startswith("dall-e") and body.get("response_format") is not None:
            message = "Unknown parameter: 'response_format'."
            raise calls.Refused(400, "unknown_parameter", message, field="response_format")
        is_linked = model.startswith("dall-e") and body.get("response_format", "url") == "url"
        tokens_in = texts.tokens_in(prompt)
        tokens = tokens_in + tokens_in_pictures + _OUTPUT_TOKENS * count
        job = await self._desk.charge(call, order, tokens=tokens)
        await asyncio.sleep(job.paid.fate.latency_s)
        names = [f"{call.digest[:32]}-{number}-{width_px}x{height_px}.{form}" for number in range(count)]
        shown: Object = {"created": int(call.at_s)}
        if is_linked:
            links = [f"{self._desk.url}/files/pictures/{name}?se=3600&sig=twin" for name in names]
            return answers.json_answer(200, {**shown, "data": [{"url": link} for link in links]})
        data = [{"b64_json": base64.b64encode(_drawn(name)).decode()} for name in names]
        if not model.startswith("dall-e"):
            details = {"text_tokens": tokens_in, "image_tokens": tokens_in_pictures}
            usage: Object = {
                "input_tokens": tokens_in + tokens_in_pictures,
                "input_tokens_details": details,
                "output_tokens": _OUTPUT_TOKENS * count,
                "total_tokens": tokens,
            }
            shown |= {"background": "opaque", "output_format": form, "quality": "low", "usage": usage}
            shown["size"] = f"{width_px}x{height_px}"
        return answers.json_answer(200, {**shown, "data": data})

    async def _picture(self, call: calls.Call) -> answers.Answer:
        name = call.parameters["name"]
        try:
            data = _drawn(name)
        except ValueError:
            raise calls.Refused(404, "not_found", "There is no such file.") from None
        kind = media.MEDIA_TYPES[name.rpartition(".")[2]]
        return answers.Answer(status=200, pieces=(data,), media_type=kind)

    async def _submit(self, call: calls.Call) -> answers.Answer:
        is_form = call.headers.get("content-type", "").startswith("multipart/")
        fields: Mapping[str, identity.JsonValue] = (
            {part.name: part.body.decode("utf-8", "replace") for part in call.form() if part.filename is None}
            if is_form
            else call.json()
        )
        return await self._begin(call, fields, remixed=None)

    async def _remix(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "videos", "Video")
        before = {key: job.paid.data[key] for key in ("model", "seconds", "size")}
        is_form = call.headers.get("content-type", "").startswith("multipart/")
        given = {part.name: part.body.decode() for part in call.form()} if is_form else call.json()
        return await self._begin(call, {**before, **given}, remixed=job.id)

    async def _begin(
        self, call: calls.Call, fields: Mapping[str, identity.JsonValue], *, remixed: str | None
    ) -> answers.Answer:
        model = chat.model_of({"model": "sora-2", **fields})
        prompt = fields.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise chat.refused("prompt", "Missing required parameter: 'prompt'.")
        seconds = chat.whole_number(fields, "seconds", default=4, low=1, high=20)
        size = str(fields.get("size") or "720x1280")
        _size(size)
        order = jobs.Order(
            operation="videos",
            model=model,
            digest=call.digest,
            amount_nano_usd=VIDEO_SECOND_NANO_USD * seconds,
            id_prefix="video_",
            callback_url=self._desk.callback_url("video.completed"),
            data={
                "model": model,
                "prompt": prompt[:4_000],
                "seconds": str(seconds),
                "size": size,
                "remixed_from_video_id": remixed,
            },
        )
        job = await self._desk.charge(call, order, tokens=0)
        return answers.json_answer(200, self._shown(job.as_accepted()))

    async def _videos(self, call: calls.Call) -> answers.Answer:
        return self._desk.page(call, [self._shown(job) for job in self._desk.jobs.newest_first(operation="videos")])

    async def _video(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, self._shown(self._desk.job(call, "videos", "Video")))

    async def _content(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "videos", "Video")
        if job.status is not jobs.Status.SUCCEEDED:
            raise calls.Refused(404, "not_ready", f"Video is not ready yet: {_STATUSES[job.status]}.")
        if call.query.get("variant", "video") != "video":
            return answers.Answer(status=200, pieces=(media.webp(job.id),), media_type="image/webp")
        data = media.mp4(job.id, size_bytes=int(job.paid.data["seconds"]) * VIDEO_BYTES_PER_S)
        return answers.Answer(status=200, pieces=(data,), media_type="video/mp4")

    async def _delete(self, call: calls.Call) -> answers.Answer:
        job = self._desk.job(call, "videos", "Video")
        if not self._desk.jobs.forget(job.id):
            raise calls.Refused(400, "invalid_request", "Only videos that are completed or failed can be deleted.")
        return answers.json_answer(200, {"id": job.id, "object": "video.deleted", "deleted": True})

    def _shown(self, job: jobs.Job) -> Object:
        """Show a video as it is now."""
        latency_s = max(0.001, job.paid.fate.latency_s)
        share = 0.0 if job.status is jobs.Status.QUEUED else (self._desk.now_s() - job.paid.at_s) / latency_s
        is_done = job.status is jobs.Status.SUCCEEDED
        failure = {"code": "server_error", "message": "The video could not be generated."}
        over_at_s = int(job.over_at_s) if job.over_at_s is not None else None
        return {
            "id": job.id,
            "object": "video",
            "created_at": int(job.paid.at_s),
            "completed_at": over_at_s if is_done else None,
            "expires_at": over_at_s + VIDEO_KEPT_S if is_done and over_at_s is not None else None,
            "status": _STATUSES[job.status],
            "progress": 100 if is_done else min(99, int(share * 100)),
            "error": failure if job.status in (jobs.Status.FAILED, jobs.Status.CANCELLED) else None,
            **{key: job.paid.data[key] for key in ("model", "prompt", "seconds", "size", "remixed_from_video_id")},
        }


def _size(value: identity.JsonValue) -> tuple[int, int]:
    if value in (None, "", "auto"):
        return 1_024, 1_024
    match = _SIZE.match(str(value))
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(0 < side <= media.SIDE_MAX_PX for side in sides):
        raise chat.refused("size", f"Invalid value: {str(value)[:40]!r}.")
    return sides


def _drawn(name: str) -> bytes:
    """Draw a picture from its name alone: seed, size and form. Raises ValueError for a name that is none."""
    head, _, form = name.rpartition(".")
    seed, _, size = head.rpartition("-")
    match = _SIZE.match(size)
    if match is None or form not in ("png", "jpeg", "webp"):
        raise ValueError(f"{name} names no picture")
    return media.picture(seed, form=form, width_px=int(match[1]), height_px=int(match[2]))
