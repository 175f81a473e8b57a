"""Ask as Google's clients of Vertex AI do: the prediction client over REST, and google-genai for Google's models."""

import base64
import time
from typing import Any
from urllib import parse

import google.genai
from google.auth import credentials as auth
from google.auth import transport
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.prediction_service import transports
from google.genai import types
from google.protobuf import json_format, struct_pb2

from tests.vendors import steps

PROJECT, LOCATION = "acme", "us-central1"
ENDPOINT = f"projects/{PROJECT}/locations/{LOCATION}/endpoints/42"
IMAGEN = f"projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/imagen-4.0-generate-001"
VEO = "veo-3.0-generate-001"
LOOKS_MAX = 200


class Token(auth.Credentials):
    """A token that is there already."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refresh(self, request: transport.Request) -> None:
        """Keep it: there is no other."""


def predictor(asked: steps.Asked, name: str = "twin", *, key: str | None = None) -> Any:
    parts = parse.urlsplit(asked.urls[name])
    wire = transports.PredictionServiceRestTransport(
        host=parts.netloc, url_scheme="http", credentials=Token(key or asked.key)
    )
    return aiplatform_v1.PredictionServiceClient(transport=wire)


def maker(asked: steps.Asked, name: str = "twin") -> Any:
    options = types.HttpOptions(base_url=asked.urls[name])
    return google.genai.Client(
        vertexai=True, project=PROJECT, location=LOCATION, credentials=Token(asked.key), http_options=options
    )


def value_of(given: Any) -> struct_pb2.Value:
    return json_format.ParseDict(given, struct_pb2.Value())


def predict(asked: steps.Asked) -> Any:
    found = predictor(asked).predict(
        endpoint=ENDPOINT, instances=[value_of({"prompt": "dusk"})], parameters=value_of({"sampleCount": 2})
    )
    return {
        "types": [prediction["mimeType"] for prediction in found.predictions],
        "starts": [base64.b64decode(prediction["bytesBase64Encoded"])[:4].hex() for prediction in found.predictions],
        "deployed": found.deployed_model_id,
    }


def predict_with_a_model(asked: steps.Asked) -> Any:
    found = predictor(asked).predict(endpoint=IMAGEN, instances=[value_of({"prompt": "dawn"})])
    return len(found.predictions)


def wrong_key(asked: steps.Asked) -> Any:
    return predictor(asked, key="another").predict(endpoint=ENDPOINT, instances=[value_of({"prompt": "x"})])


def no_instances(asked: steps.Asked) -> Any:
    return predictor(asked).predict(endpoint=ENDPOINT, instances=[])


def exhausted(asked: steps.Asked) -> Any:
    return predictor(asked, "exhausted").predict(endpoint=ENDPOINT, instances=[value_of({"prompt": "x"})])


def draw(asked: steps.Asked) -> Any:
    config = types.GenerateImagesConfig(number_of_images=2)
    with maker(asked) as client:
        found = client.models.generate_images(model=IMAGEN, prompt="espresso", config=config)
    return [(made.image.mime_type, made.image.image_bytes[:4].hex()) for made in found.generated_images]


def draw_filtered(asked: steps.Asked) -> Any:
    with maker(asked) as client:
        found = client.models.generate_images(model=IMAGEN, prompt="forbidden")
    return len(found.generated_images or [])


def embed(asked: steps.Asked) -> Any:
    with maker(asked) as client:
        found = client.models.embed_content(model="text-embedding-005", contents=["a cup", "a lamp"])
    return [(len(each.values), each.statistics.token_count > 0, each.statistics.truncated) for each in found.embeddings]


def film(asked: steps.Asked) -> Any:
    return filmed(maker(asked), "steam over a cup", duration_seconds=4, number_of_videos=2)


def film_into_a_bucket(asked: steps.Asked) -> Any:
    return filmed(maker(asked), "steam", duration_seconds=4, output_gcs_uri="gs://acme-out/veo")


def film_filtered(asked: steps.Asked) -> Any:
    return filmed(maker(asked), "forbidden", duration_seconds=4)


def film_failing(asked: steps.Asked) -> Any:
    return filmed(maker(asked, "failing"), "steam", duration_seconds=4)


def filmed(client: Any, prompt: str, **config: Any) -> Any:
    operation = client.models.generate_videos(model=VEO, prompt=prompt, config=types.GenerateVideosConfig(**config))
    for _ in range(LOOKS_MAX):
        if operation.done:
            break
        time.sleep(0.02)
        operation = client.operations.get(operation)
    shown = {"name": operation.name.partition("/operations/")[0], "done": operation.done, "error": operation.error}
    if operation.response is None:
        return shown
    videos = operation.response.generated_videos or []
    return {
        **shown,
        "filtered": operation.response.rai_media_filtered_count,
        "videos": [(each.video.mime_type, each.video.uri, bool(each.video.video_bytes)) for each in videos],
    }


def refused_in_full(asked: steps.Asked) -> Any:
    with maker(asked, "exhausted") as client:
        return client.models.generate_images(model=IMAGEN, prompt="espresso")


def unknown_operation(asked: steps.Asked) -> Any:
    name = f"projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/{VEO}/operations/none"
    with maker(asked) as client:
        return client.operations.get(types.GenerateVideosOperation(name=name))


if __name__ == "__main__":
    steps.main(
        *(predict, predict_with_a_model, wrong_key, no_instances, exhausted),
        *(draw, draw_filtered, embed, film, film_into_a_bucket, film_filtered, film_failing),
        *(refused_in_full, unknown_operation),
    )
