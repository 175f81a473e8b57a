"""Ask as huggingface_hub's InferenceClient asks a dedicated endpoint and text generation inference."""

import asyncio
from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceClient

from tests.vendors import steps

PICTURE = b"\x89PNG and so on"
PROMPT = "A lamp"


def client(asked: steps.Asked, name: str = "twin", *, key: str | None = None) -> InferenceClient:
    return InferenceClient(model=asked.urls[name], provider="hf-inference", token=key or asked.key)


def health(asked: steps.Asked) -> Any:
    return client(asked).health_check()


def info(asked: steps.Asked) -> Any:
    return client(asked).get_endpoint_info()["model_id"]


def classify(asked: steps.Asked) -> Any:
    return [(found.label, found.score) for found in client(asked).image_classification(PICTURE)]


def classify_some(asked: steps.Asked) -> Any:
    return [found.label for found in client(asked).image_classification(PICTURE, top_k=2)]


def draw(asked: steps.Asked) -> Any:
    picture = client(asked).text_to_image("espresso on marble", width=64, height=64, seed=7)
    return {"format": picture.format, "size": picture.size}


def embed(asked: steps.Asked) -> Any:
    one = client(asked).feature_extraction("a cup")
    two = client(asked).feature_extraction(["a cup", "a lamp"], normalize=True)
    return {"one": one.shape, "two": two.shape, "is_same": (one == two[0]).all().item()}


def generate(asked: steps.Asked) -> Any:
    return client(asked).text_generation(PROMPT, max_new_tokens=4)


def generate_plainly(asked: steps.Asked) -> Any:
    return client(asked).text_generation(PROMPT)


def generate_in_detail(asked: steps.Asked) -> Any:
    found = client(asked).text_generation(PROMPT, max_new_tokens=4, details=True)
    details = found.details
    return {
        "text": found.generated_text,
        "reason": details.finish_reason,
        "count": details.generated_tokens,
        "tokens": [token.text for token in details.tokens],
    }


def stream(asked: steps.Asked) -> Any:
    with client(asked) as there:
        return list(there.text_generation(PROMPT, max_new_tokens=4, stream=True))


def stream_in_detail(asked: steps.Asked) -> Any:
    with client(asked) as there:
        events = list(there.text_generation(PROMPT, max_new_tokens=4, stream=True, details=True))
    last = events[-1]
    return {
        "tokens": [event.token.text for event in events],
        "text": last.generated_text,
        "reason": last.details.finish_reason,
        "input": last.details.input_length,
    }


def stream_later(asked: steps.Asked) -> Any:
    async def work() -> list[str]:
        async with AsyncInferenceClient(model=asked.urls["twin"], token=asked.key) as there:
            return [text async for text in await there.text_generation(PROMPT, max_new_tokens=4, stream=True)]

    return asyncio.run(work())


def chat(asked: steps.Asked) -> Any:
    found = client(asked, "openai").chat_completion([{"role": "user", "content": "Hello"}], max_tokens=5)
    return {"text": found.choices[0].message.content, "tokens": found.usage.completion_tokens}


def chat_as_stream(asked: steps.Asked) -> Any:
    with client(asked, "openai") as there:
        events = there.chat_completion([{"role": "user", "content": "Hello"}], max_tokens=5, stream=True)
        return "".join(event.choices[0].delta.content or "" for event in events if event.choices)


def wrong_key(asked: steps.Asked) -> Any:
    return client(asked, key="another").text_generation(PROMPT, max_new_tokens=4)


def invalid(asked: steps.Asked) -> Any:
    return client(asked).text_generation(PROMPT, max_new_tokens=0)


def loading(asked: steps.Asked) -> Any:
    return client(asked, "loading").text_generation(PROMPT, max_new_tokens=4)


def overloaded(asked: steps.Asked) -> Any:
    return client(asked, "overloaded").text_generation(PROMPT, max_new_tokens=4)


def failing(asked: steps.Asked) -> Any:
    return client(asked, "failing").text_generation(PROMPT, max_new_tokens=4)


def breaking_off(asked: steps.Asked) -> Any:
    with client(asked, "lying") as there:
        return list(there.text_generation(PROMPT, max_new_tokens=4, stream=True))


if __name__ == "__main__":
    steps.main(
        *(health, info, classify, classify_some, draw, embed),
        *(generate, generate_plainly, generate_in_detail, stream, stream_in_detail, stream_later),
        *(chat, chat_as_stream, wrong_key, invalid, loading, overloaded, failing, breaking_off),
    )
