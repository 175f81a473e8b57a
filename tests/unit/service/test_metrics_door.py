"""A worker without a web server beside it is scraped at a port of its own."""

import contextlib
import dataclasses
import http.client
import urllib.parse

import pytest

from heddle.config import settings
from heddle.service import metrics_door, ports
from heddle.telemetry import multiprocess, recorder
from heddle.telemetry.catalog import metrics


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.delenv(multiprocess.ENVIRONMENT, raising=False)
    return settings.Settings(metrics_port=ports.choose())


def asked(url: str, path: str | None = None) -> tuple[int, str]:
    parts = urllib.parse.urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request("GET", path or parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_door_when_asked_for_metrics_then_this_process_numbers_and_nothing_else(limits: settings.Settings) -> None:
    recorder.set(metrics.WORKERS_ALIVE, 3)

    with metrics_door.opened(limits) as url:
        assert url is not None
        (status, text), (elsewhere, _) = asked(url), asked(url, "/readyz")

    assert (status, elsewhere) == (200, 404)
    assert "heddle_workers_alive 3.0" in text


def test_door_when_its_port_is_taken_then_one_sentence_says_so(limits: settings.Settings) -> None:
    with metrics_door.opened(limits), pytest.raises(ports.PortTaken, match="HEDDLE_METRICS_PORT"):
        metrics_door.opened(limits).__enter__()


def test_door_when_the_web_server_has_the_numbers_then_there_is_none(
    limits: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with metrics_door.opened(dataclasses.replace(limits, metrics_port=0)) as unset:
        monkeypatch.setenv(multiprocess.ENVIRONMENT, "/somewhere")
        with metrics_door.opened(limits) as shared:
            assert (unset, shared) == (None, None)
