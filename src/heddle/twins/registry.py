"""Know the twins by name, loading one only when it is asked for, and what each is started with.

Before it: ``heddle twin`` and tests. After it: the vendor's class.
"""

import argparse
import importlib
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from heddle.twins.kit import options
from heddle.twins.simulator import terms

if TYPE_CHECKING:
    from heddle.twins.kit import server

# Name to module and class, so that the help needs no server.
TWINS: Final[Mapping[str, str]] = types.MappingProxyType(
    {
        "anthropic": "heddle.twins.anthropic.twin:AnthropicTwin",
        "cog": "heddle.twins.cog.twin:CogTwin",
        "comfyui": "heddle.twins.comfyui.twin:ComfyuiTwin",
        "fal": "heddle.twins.fal.twin:FalTwin",
        "huggingface": "heddle.twins.huggingface.twin:HuggingfaceTwin",
        "kserve": "heddle.twins.kserve.twin:KserveTwin",
        "mlflow": "heddle.twins.mlflow.twin:MlflowTwin",
        "openai": "heddle.twins.openai.twin:OpenaiTwin",
        "replicate": "heddle.twins.replicate.twin:ReplicateTwin",
        "runpod": "heddle.twins.runpod.twin:RunPodTwin",
        "sagemaker": "heddle.twins.sagemaker.twin:SageMakerTwin",
        "simulator": "heddle.twins.simulator.twin:SimulatorTwin",
        "vertex": "heddle.twins.vertex.twin:VertexTwin",
    }
)


def load(name: str) -> "type[server.Twin]":
    """Give the class of a twin. Raises KeyError for a name that is none."""
    module, _, kind = TWINS[name].partition(":")
    found: type[server.Twin] = getattr(importlib.import_module(module), kind)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heddle twin``: those of every twin, then the simulator's own."""
    options.add_arguments(parser, names=sorted(TWINS))
    terms.add_arguments(parser)


def make(given: argparse.Namespace, *, environment: Mapping[str, str]) -> "server.Twin":
    """Make the twin that the arguments name. Raises options.OptionsRefused."""
    read, own = options.read(given, environment=environment), terms.given_names(given)
    if given.name != "simulator":
        if own:
            raise options.OptionsRefused(f"{', '.join(own)}: the twin of {given.name} takes no such argument.")
        return load(given.name)(read)
    from heddle.twins.simulator import twin

    return twin.SimulatorTwin(read, offered=terms.read(given))
