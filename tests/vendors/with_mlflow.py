"""Ask as MLflow's scoring client does: the same of its own server and of the twin."""

from typing import Any
from urllib import parse

import numpy
import pandas
from mlflow.pyfunc.scoring_server import client

from tests.vendors import steps

WAIT_S = 10


def asked_of_both(asked: steps.Asked, question: Any) -> Any:
    return {name: question(there(url)) for name, url in asked.urls.items()}


def there(url: str) -> client.ScoringServerClient:
    parts = parse.urlsplit(url)
    return client.ScoringServerClient(parts.hostname, parts.port)


def wait(asked: steps.Asked) -> Any:
    return asked_of_both(asked, lambda one: one.wait_server_ready(timeout=WAIT_S))


def version(asked: steps.Asked) -> Any:
    return asked_of_both(asked, lambda one: one.get_version())


def frame(asked: steps.Asked) -> Any:
    given = pandas.DataFrame({"width": [640, 320], "brand": ["acme", "other"]})
    return asked_of_both(asked, lambda one: one.invoke(given).get_predictions().shape)


def array(asked: steps.Asked) -> Any:
    given = numpy.ones((3, 2))
    return asked_of_both(asked, lambda one: one.invoke(given).get_predictions("ndarray").shape)


def rows(asked: steps.Asked) -> Any:
    return asked_of_both(asked, lambda one: one.invoke([[1, 2], [3, 4]], params={"top": 1}).get_predictions().shape)


def written(asked: steps.Asked) -> Any:
    return asked_of_both(asked, lambda one: sorted(one.invoke('{"instances": [[1, 2]]}')))


def refused(asked: steps.Asked) -> Any:
    def question(one: client.ScoringServerClient) -> str:
        try:
            return str(one.invoke("[1]"))
        except Exception as error:  # noqa: BLE001  the client raises nothing finer
            return str(error).partition("{")[0]

    return asked_of_both(asked, question)


if __name__ == "__main__":
    steps.main(wait, version, frame, array, rows, written, refused)
