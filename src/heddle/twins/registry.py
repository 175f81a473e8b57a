"""Know the twins by name, loading one only when it is asked for.

Before it: ``heddle twin`` and tests. After it: the vendor's class.
"""

import importlib
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

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
        "vertex": "heddle.twins.vertex.twin:VertexTwin",
    }
)


def load(name: str) -> "type[server.Twin]":
    """Give the class of a twin. Raises KeyError for a name that is none."""
    module, _, kind = TWINS[name].partition(":")
    found: type[server.Twin] = getattr(importlib.import_module(module), kind)
    return found
