"""Run the product shoot on a set of photographs through the HTTP API, and gather what happened.

Everything goes through the same contract that any customer uses: upload, submit with an Idempotency-Key, poll,
download. The service may go away meanwhile, its database killed or a worker gone: what was not answered is asked again
under the same key, and nothing is made twice. This module neither starts nor stops a service. Before it: `heddle demo`.
After it: `report`, and whoever reads the summary.
"""

import dataclasses
import datetime
import functools
import pathlib
import time
import typing
import urllib.parse
import uuid
from collections import abc

from examples.product_shoot import accounts, photos
from heddle.cli import progress, remote

WORKFLOW = "product_shoot"
SCENES = ("marble counter in morning light", "warm wood table", "pastel studio")
POLL_S = 0.4
RETRY_S = 0.5
OUTAGE_MAX_S = 120.0
RUNS_TIMEOUT_S = 300.0
STEPS_BEFORE_TROUBLE = 4
PAGE_MAX = 200
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
NoPhotos = photos.NoPhotos
Json = dict[str, typing.Any]
Result = typing.TypeVar("Result")


class DemoFailed(RuntimeError):
    """Say why the demo cannot go on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture in `out/`: where it is, relative to the report, its scene, score from 0 to 1 and round from 1."""

    path: str
    scene: str
    score: float
    round: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One run that is over, with what it made; pictures are there only when it succeeded."""

    run_id: str
    photo: photos.Photo
    state: str
    error: str
    photo_path: str
    mask_path: str | None
    shots: tuple[Shot, ...]
    cost_usd: str
    duration_s: float
    steps: int
    attempts: int
    retries: int
    route: tuple[str, ...]
    paid_steps: tuple[tuple[str, int], ...]
    line: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shoot:
    """All runs of one demo. `account` compares the providers' ledgers with the steps, None without ledgers. `victim`:
    the provider that was killed in the middle.
    """

    batch: str
    finished: tuple[Finished, ...]
    elapsed_s: float
    outages: int
    account: accounts.Account | None
    victim: str | None

    @property
    def is_good(self) -> bool:
        """Tell whether every run succeeded and no job was paid for twice."""
        has_all = bool(self.finished) and all(each.state == "succeeded" for each in self.finished)
        return has_all and (self.account is None or self.account.is_good)


def choose_photos(folder: str | None) -> list[photos.Photo]:
    """Give the user's own photographs, or those inside scikit-image's package. Raises NoPhotos."""
    return photos.folder_photos(folder=pathlib.Path(folder)) if folder else photos.packaged_photos()


class Demo:
    """One demo: its service, its photographs, its place for results."""

    def __init__(
        self,
        *,
        api: remote.Api,
        chosen: abc.Sequence[photos.Photo],
        out: pathlib.Path,
        seed: int,
        ledgers: abc.Mapping[str, pathlib.Path] | None,
        bar: progress.Progress,
        disturb: abc.Callable[[], str] | None = None,
    ) -> None:
        self._api = api
        self._photos = chosen
        self._out = out
        self._seed = seed
        self._ledgers = ledgers
        self._disturb = disturb
        self._victim: str | None = None
        self._bar = bar
        self._batch = f"demo-{uuid.uuid4().hex[:12]}"
        self._started_s = time.monotonic()
        self._started_unix_s = time.time()
        self._outages = 0
        self._is_away = False

    def run(self) -> Shoot:
        """Submit a run for each photo, watch them to their end, download what they made.

        Raises DemoFailed when the service stays away or the runs do not end in time, remote.ApiRefused.
        """
        self._bar.show(
            progress.Standing(title=WORKFLOW, done=0, running=0, waiting=0, failed=0, total=len(self._photos))
        )
        run_ids = [self._submit(index, photo) for index, photo in enumerate(self._photos)]
        self._watch(run_ids)
        elapsed_s = time.monotonic() - self._started_s
        _clear(self._out)
        finished = tuple(self._gather(run_id, photo) for run_id, photo in zip(run_ids, self._photos, strict=True))
        paid = [step for each in finished for step in each.paid_steps]
        return Shoot(
            batch=self._batch,
            finished=finished,
            elapsed_s=elapsed_s,
            outages=self._outages,
            account=None
            if self._ledgers is None
            else accounts.compare(ledgers=self._ledgers, paid_steps=paid, since_s=self._started_unix_s),
            victim=self._victim,
        )

    def _submit(self, index: int, photo: photos.Photo) -> str:
        headers = {"Content-Type": photo.media_type}
        upload = self._insist(
            lambda: self._api.send("POST", "/v1/artifacts", content=photo.content, headers=headers).json()
        )
        body = {
            "workflow": WORKFLOW,
            "input": {
                "photo": {"id": upload["id"]},
                "scenes": list(SCENES),
                "seed": self._seed + 10 * index,
                "product": photo.title,
            },
            "labels": {"batch": self._batch, "photo": photo.name},
        }
        key = {"Idempotency-Key": f"{self._batch}-{photo.name}"}
        return str(self._insist(lambda: self._api.post("/v1/runs", body, key).json())["id"])

    def _watch(self, run_ids: abc.Sequence[str]) -> None:
        until_s = time.monotonic() + RUNS_TIMEOUT_S
        while True:
            runs = self._runs()
            over = [run for run in runs if run["state"] in TERMINAL]
            is_over = len(over) == len(run_ids)
            self._disturb_once(runs)
            self._bar.show(self._standing(runs), is_last=is_over)
            if is_over:
                return
            if time.monotonic() > until_s:
                raise DemoFailed(self._why_late(runs))
            time.sleep(POLL_S)

    def _disturb_once(self, runs: abc.Sequence[Json]) -> None:
        """Kill a provider once a third of the pictures is under way, to see that it costs only time."""
        if self._disturb is not None and sum(run["steps"]["done"] for run in runs) >= STEPS_BEFORE_TROUBLE * len(runs):
            disturb, self._disturb = self._disturb, None
            self._victim = disturb()
            self._bar.say(f"{self._victim} was killed in the middle of its jobs, on purpose")

    def _runs(self) -> list[Json]:
        """Give every run of this batch, page by page; there are at most as many as photos."""
        found: list[Json] = []
        cursor: str | None = None
        for _ in range(1 + len(self._photos) // PAGE_MAX):
            page = self._insist(functools.partial(self._page, cursor))
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def _page(self, cursor: str | None) -> Json:
        page: Json = self._api.get("/v1/runs", label=f"batch:{self._batch}", limit=PAGE_MAX, cursor=cursor)
        return page

    def _standing(self, runs: abc.Sequence[Json]) -> progress.Standing:
        shown = [run["shown_state"] for run in runs]
        done, waiting = shown.count("succeeded"), shown.count("waiting") + shown.count("queued")
        failed = sum(1 for run in runs if run["state"] in TERMINAL - {"succeeded"})
        steps = sum(run["steps"]["done"] for run in runs)
        planned = sum(run["steps"]["total"] for run in runs)
        cost_usd = sum(float(run["cost"]) for run in runs)
        elapsed_s = time.monotonic() - self._started_s
        return progress.Standing(
            title=WORKFLOW,
            done=done,
            running=len(runs) - done - waiting - failed,
            waiting=waiting,
            failed=failed,
            total=len(self._photos),
            note=f"{steps}/{planned} steps | ${cost_usd:.2f} | {elapsed_s:.0f} s",
        )

    def _why_late(self, runs: abc.Sequence[Json]) -> str:
        late = [run for run in runs if run["state"] not in TERMINAL]
        reasons = [f"{run['id']}: {self._api.get(run['links']['why'])['why']}" for run in late[:3]]
        return f"{len(late)} runs are not over after {RUNS_TIMEOUT_S:.0f} s. " + " ".join(reasons)

    def _gather(self, run_id: str, photo: photos.Photo) -> Finished:
        path = f"/v1/runs/{run_id}"
        run = self._insist(lambda: self._api.get(path))
        steps = self._steps(path)
        output = run["output"] if run["state"] == "succeeded" else None
        shots: list[Shot] = []
        mask_path = None
        if output is not None:
            mask_path = self._download(output["mask"], folder="cutouts", name=photo.name)
            for number, shot in enumerate(output["shots"], start=1):
                written = self._download(shot["image"], folder="shots", name=f"{photo.name}-{number}")
                shots.append(Shot(path=written, scene=shot["scene"], score=shot["score"], round=shot["round"]))
        endpoints = [attempt["endpoint"] for step in steps for attempt in step["attempts"] if attempt["endpoint"]]
        suffix = photo.media_type.rpartition("/")[2].replace("jpeg", "jpg")
        return Finished(
            run_id=run_id,
            photo=photo,
            state=run["state"],
            error=_error(run),
            photo_path=self._write(photo.content, folder="photos", name=f"{photo.name}.{suffix}"),
            mask_path=mask_path,
            shots=tuple(shots),
            cost_usd=run["cost"],
            duration_s=_seconds(run["created_at"], run["finished_at"]),
            steps=run["steps"]["total"],
            attempts=run["steps"]["attempts"],
            retries=run["steps"]["retries"],
            route=tuple(dict.fromkeys(endpoints)),
            paid_steps=tuple((run_id, step["ordinal"]) for step in steps if step["name"] == "backdrop"),
            line="" if output is None else output["line"],
        )

    def _download(self, artifact: Json, *, folder: str, name: str) -> str:
        path = f"/v1/artifacts/{urllib.parse.quote(artifact['id'], safe=':')}"
        content = self._insist(lambda: self._api.send("GET", path, headers={"Accept": "*/*"})).body
        suffix = artifact["media_type"].rpartition("/")[2].replace("jpeg", "jpg")
        return self._write(content, folder=folder, name=f"{name}.{suffix}")

    def _write(self, content: bytes, *, folder: str, name: str) -> str:
        (self._out / folder).mkdir(parents=True, exist_ok=True)
        (self._out / folder / name).write_bytes(content)
        return f"{folder}/{name}"

    def _steps(self, path: str) -> list[Json]:
        steps: list[Json] = []
        cursor: str | None = None
        while True:
            page = self._insist(functools.partial(self._api.get, f"{path}/steps", limit=PAGE_MAX, cursor=cursor))
            steps += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return steps

    def _insist(self, ask: abc.Callable[[], Result]) -> Result:
        """Ask until the service answers, for at most two minutes: every request here is safe to make again."""
        until_s = time.monotonic() + OUTAGE_MAX_S
        while True:
            try:
                answer = ask()
            except remote.Unreachable as error:
                if time.monotonic() > until_s:
                    raise DemoFailed(f"the service stayed away for {OUTAGE_MAX_S:.0f} s: {error}") from error
                if not self._is_away:
                    self._is_away = True
                    self._outages += 1
                    self._bar.say(f"the service does not answer ({error}); asking again")
                time.sleep(min(error.retry_after_s or RETRY_S, 2.0))
            else:
                if self._is_away:
                    self._is_away = False
                    self._bar.say("the service answers again; nothing was lost")
                return answer


def _clear(out: pathlib.Path) -> None:
    """Remove the pictures of an earlier demo, and nothing else that may be there."""
    for folder in ("photos", "cutouts", "shots"):
        for path in (out / folder).glob("*"):
            if path.is_file() and path.suffix in (".jpg", ".png", ".webp"):
                path.unlink()


def _error(run: Json) -> str:
    error = run["error"]
    return "" if error is None else f"{error.get('fault', '')}: {error.get('message', '')}"


def _seconds(start: str, end: str | None) -> float:
    if end is None:
        return 0.0
    parse = datetime.datetime.fromisoformat
    return (parse(end) - parse(start)).total_seconds()
