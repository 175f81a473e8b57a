"""Serve a model by Cog's own server, coglet, as in a container that `cog build` makes: words, one by one.

The first argument is where the chosen port is written, once the model is set up. Needs requirements-cog.txt.
"""

import http.client
import json
import pathlib
import socket
import sys
import threading
import time
from typing import Any

import cog
import coglet

HOST = "127.0.0.1"
LOOK_S = 0.05
# What `cog build` writes of the class below.
SCHEMA: dict[str, Any] = {
    "openapi": "3.0.2",
    "info": {"title": "Cog", "version": "0.1.0"},
    "paths": {"/predictions": {"post": {"summary": "Predict", "x-cog-streaming": True}}},
    "components": {
        "schemas": {
            "Input": {
                "title": "Input",
                "type": "object",
                "required": ["prompt"],
                "properties": {
                    "prompt": {"title": "Prompt", "type": "string", "x-order": 0},
                    "pause_s": {"title": "Pause S", "type": "number", "default": 0.0, "x-order": 1},
                },
            },
            "Output": {
                "title": "Output",
                "type": "array",
                "items": {"type": "string"},
                "x-cog-array-type": "iterator",
                "x-cog-array-display": "concatenate",
            },
        }
    },
}


class Predictor(cog.BasePredictor):
    """Say a prompt's words, with a pause before each; a prompt may also fail."""

    @cog.streaming
    def predict(
        self, prompt: str = cog.Input(), pause_s: float = cog.Input(default=0.0)
    ) -> cog.ConcatenateIterator[str]:
        if prompt == "fail":
            raise ValueError("the model raised an exception")
        for word in prompt.split():
            time.sleep(pause_s)
            yield word
        print("done")


def main() -> None:
    folder = pathlib.Path(".cog")
    folder.mkdir(exist_ok=True)
    (folder / "openapi_schema.json").write_text(json.dumps(SCHEMA))
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    threading.Thread(target=tell, args=(port, pathlib.Path(sys.argv[1])), daemon=True).start()
    coglet.server.serve(predictor_ref=f"{__file__}:Predictor", host=HOST, port=port)


def tell(port: int, place: pathlib.Path) -> None:
    """Write the port as soon as the model is set up; who waits for it says when that is too long."""
    while not is_ready(port):
        time.sleep(LOOK_S)
    draft = place.with_name(place.name + ".new")
    draft.write_text(str(port))
    draft.replace(place)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health-check")
        return json.loads(connection.getresponse().read())["status"] == "READY"
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
