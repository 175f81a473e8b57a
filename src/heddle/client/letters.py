"""Write what a webhook says: the type of the event, when it happened, and the run as it is shown.

The run comes without its input, which the customer knows, and with its output when that is small; else with the link
where it is. A prediction of the gateway is told of as Replicate does: by the prediction. Written once, before the first
try; later tries and redeliveries send the same bytes. Before it: ``engine.deliver``. After it: the courier, which signs
what is written here.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from heddle.client import predictions as predictions_module
from heddle.client import shown
from heddle.core import run
from heddle.ports import outbox, records

PREDICTION_INPUT_CHARACTERS_MAX = 65_536
"""Longer inputs are left out of the webhook of a prediction: a body is kept with its event."""


def composer(
    *, public_url: str, predictions: predictions_module.Places | None
) -> Callable[[outbox.DueEvent], str | None]:
    """Give the function that writes bodies. public_url: where the API is reached, without a slash at the end.

    predictions: where those of the gateway are; None writes all in our own form.
    """
    root = f"{public_url}/v1/runs"

    def compose(event: outbox.DueEvent) -> str | None:
        if predictions is not None and event.view is not None and predictions_module.is_prediction(event.view):
            return prediction(event, event.view, places=predictions)
        return body(event, root=root)

    return compose


def body(event: outbox.DueEvent, *, root: str) -> str | None:
    """Write the body of one event; None when its run is not stored any more.

    State and time are those that the event tells of, also when somebody has retried the run since. A run that went on
    as others is told of once, at the end of the chain; ``submitted_as`` is then the first, which the customer knows.
    """
    view = event.view
    if view is None:
        return None
    state = event.type.removeprefix("run.")
    data: dict[str, Any] = shown.run(view, root=root, has_values=False)
    data |= {"state": state, "shown_state": state, "submitted_as": str(event.submitted_as)}
    data["finished_at"] = shown.instant(event.at)
    if state == run.RunState.SUCCEEDED.value:
        if event.is_whole:
            data["output"] = view.output
        else:
            data["output_url"] = data["links"]["self"]
    said = {"type": event.type, "timestamp": shown.instant(event.at), "data": data}
    return _written(said)


def prediction(event: outbox.DueEvent, view: records.RunView, *, places: predictions_module.Places) -> str:
    """Write the body of an event of a prediction: the object itself, in the state that the event tells of.

    Values too large to be sent are left out, and ``data_removed`` says so.
    """
    is_long = len(_written(view.input)) > PREDICTION_INPUT_CHARACTERS_MAX
    if is_long:
        view = dataclasses.replace(view, input=None)
    state = run.RunState(event.type.removeprefix("run."))
    ended = dataclasses.replace(view, state=state, shown_state=state.value, finished_at=event.at)
    return _written(predictions_module.shown(ended, places=places) | {"data_removed": is_long or not event.is_whole})


def _written(said: Any) -> str:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
