"""Price a prediction by what it made and how long it ran.

Official models are charged by their output, the others by the second of their hardware, which the API does not name.
Pure. Before it: the adapter with a prediction that has ended. After it: settle.
"""

from heddle.core.policy import price
from heddle.providers import prices
from heddle.providers.replicate import wire


def cost_nano_usd(prediction: wire.Prediction, *, model_name: str, images: int) -> int | None:
    """Give the list price of a prediction; None where none is listed.

    model_name: the model that was ordered, empty where the answer has to say. images: how many the output has.
    """
    listed = prices.of(prices.read("replicate"), model_name or prediction.model, adapter="replicate")
    if listed is None:
        return None
    return price.cost_nano_usd(listed, price.Usage(images=images, seconds=prediction.predict_time_s))
