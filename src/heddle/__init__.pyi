from heddle.client import Heddle as Heddle
from heddle.core.policy.retry import RetryOptions as Retry
from heddle.core.policy.reuse import Reuse as Reuse
from heddle.program.artifacts import (
    aread_artifact as aread_artifact,
)
from heddle.program.artifacts import (
    awrite_artifact as awrite_artifact,
)
from heddle.program.artifacts import (
    read_artifact as read_artifact,
)
from heddle.program.artifacts import (
    write_artifact as write_artifact,
)
from heddle.program.call import Call as Call
from heddle.program.continuing import continue_as_new as continue_as_new
from heddle.program.declare import model as model
from heddle.program.declare import step as step
from heddle.program.declare import workflow as workflow
from heddle.program.errors import (
    CallNotAwaited as CallNotAwaited,
)
from heddle.program.errors import (
    InputRefused as InputRefused,
)
from heddle.program.errors import (
    OutsideWorkflow as OutsideWorkflow,
)
from heddle.program.errors import (
    RegistrationRefused as RegistrationRefused,
)
from heddle.program.errors import (
    RunStopping as RunStopping,
)
from heddle.program.errors import (
    StepFailed as StepFailed,
)
from heddle.program.errors import (
    WorkflowMisused as WorkflowMisused,
)
from heddle.program.errors import (
    WorkflowWarning as WorkflowWarning,
)
from heddle.program.forms import (
    First as First,
)
from heddle.program.forms import (
    all_of as all_of,
)
from heddle.program.forms import (
    first_of as first_of,
)
from heddle.program.forms import (
    map as map,  # noqa: A004 - the word of the contract
)
from heddle.program.forms import (
    now as now,
)
from heddle.program.forms import (
    patched as patched,
)
from heddle.program.forms import (
    random as random,
)
from heddle.program.forms import (
    signal as signal,
)
from heddle.program.forms import (
    sleep as sleep,
)
from heddle.program.schedules import schedule as schedule
from heddle.program.types import Artifact as Artifact

__all__ = [
    "workflow",
    "step",
    "model",
    "Call",
    "Artifact",
    "Retry",
    "all_of",
    "first_of",
    "First",
    "map",
    "continue_as_new",
    "sleep",
    "signal",
    "now",
    "random",
    "patched",
    "schedule",
    "StepFailed",
    "RunStopping",
    "CallNotAwaited",
    "InputRefused",
    "OutsideWorkflow",
    "RegistrationRefused",
    "WorkflowMisused",
    "WorkflowWarning",
    "Heddle",
]
