"""Serve a model by MLflow's own scoring server: a number for each row, and an answer in kind for a language's body.

The first argument is where the chosen port is written. Needs the packages of requirements-mlflow.txt.
"""

import pathlib
import socket
import sys
import tempfile
from typing import Any

import mlflow.pyfunc
import numpy
import pandas
import uvicorn
from mlflow.pyfunc import scoring_server


class Scorer(mlflow.pyfunc.PythonModel):
    """Give each row its number of columns; answer a body of messages, a prompt or an input in kind."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if isinstance(model_input, dict) and {"messages", "prompt", "input"} & set(model_input):
            return {"object": "chat.completion", "choices": [], "usage": {}}
        is_row = isinstance(model_input, dict) and all(numpy.ndim(value) == 0 for value in model_input.values())
        frame = pandas.DataFrame([model_input] if is_row else model_input)
        if "fail" in frame.columns:
            raise ValueError("no number for that")
        return [float(len(frame.columns)) for _ in range(len(frame))]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(f"{folder}/model", python_model=Scorer(), pip_requirements=[])
        application = scoring_server.init(mlflow.pyfunc.load_model(f"{folder}/model"))
    listener = socket.create_server(("127.0.0.1", 0))
    draft = pathlib.Path(sys.argv[1] + ".new")
    draft.write_text(str(listener.getsockname()[1]))
    draft.replace(sys.argv[1])
    uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
