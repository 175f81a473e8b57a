"""List the spans that Heddle is to make, by the names of the OpenTelemetry semantic conventions 1.44.

Data only: no tracer is imported, and nothing writes them yet. A long job is not one trace: admission is one, each
attempt is its own with links to the admission and to the attempt before it, a callback is its own with a link to the
attempt (RELIABILITY 5.1). What the conventions do not name is under ``heddle.``. Before it: nothing. After: whoever
exports traces, and the documentation.
"""

from typing import Final

from heddle.telemetry.catalog.records import Attribute, Requirement, Span


def _always(name: str, meaning: str) -> Attribute:
    return Attribute(name=name, meaning=meaning, requirement=Requirement.ALWAYS)


def _known(name: str, meaning: str) -> Attribute:
    return Attribute(name=name, meaning=meaning, requirement=Requirement.WHEN_KNOWN)


IDS: Final = (
    _always("heddle.run.id", "The run."),
    _known("heddle.step.id", "The ordinal of the step in its run."),
    _known("heddle.attempt", "The number of the attempt, from 1."),
    _known("heddle.fence", "The fence of the lease."),
)
ERROR_TYPE: Final = _known("error.type", "The fault, or the class of the exception.")
SERVER: Final = (_always("server.address", "Host name."), _known("server.port", "Port."))

REQUEST = Span(
    key="request",
    name="{http.request.method} {http.route}",
    kind="SERVER",
    meaning="One request at a door.",
    attributes=(
        _always("http.request.method", "Method."),
        _known("http.route", "Route template."),
        _always("url.scheme", "Scheme."),
        _always("url.path", "Path, with callback tokens redacted."),
        _known("http.response.status_code", "Status of the answer."),
        ERROR_TYPE,
    ),
    links="none; it is the child of the caller's traceparent",
)
CREATE = Span(
    key="create",
    name="create {messaging.destination.name}",
    kind="PRODUCER",
    meaning="A run or step was made; its context is what attempts link to.",
    attributes=(
        _always("messaging.system", "`heddle`."),
        _always("messaging.operation.name", "`create`."),
        _always("messaging.operation.type", "`create`."),
        _always("messaging.destination.name", "The lane."),
        _always("messaging.message.id", "Run id, or run id and ordinal."),
        *IDS,
    ),
    links="none",
)
PROCESS = Span(
    key="process",
    name="process {messaging.destination.name}",
    kind="CONSUMER",
    meaning="One attempt of a step, from claim to settle; the root of its own trace.",
    attributes=(
        _always("messaging.system", "`heddle`."),
        _always("messaging.operation.name", "`process`."),
        _always("messaging.operation.type", "`process`."),
        _always("messaging.destination.name", "The lane."),
        _always("messaging.message.id", "Run id and ordinal."),
        _known("messaging.client.id", "The worker."),
        _known("heddle.endpoint", "The endpoint."),
        _known("heddle.cost_usd", "What it cost, as a decimal string; the conventions name no cost."),
        *IDS,
        ERROR_TYPE,
    ),
    links="the create span of the step, and the process span of the attempt before",
)
SETTLE = Span(
    key="settle",
    name="settle {messaging.destination.name}",
    kind="CLIENT",
    meaning="One batch of outcomes stored in one transaction.",
    attributes=(
        _always("messaging.system", "`heddle`."),
        _always("messaging.operation.name", "`settle`."),
        _always("messaging.operation.type", "`settle`."),
        _always("messaging.batch.message_count", "Outcomes in the batch."),
        ERROR_TYPE,
    ),
    links="the process spans of the batch",
)
PROVIDER_CALL = Span(
    key="provider_call",
    name="{http.request.method}",
    kind="CLIENT",
    meaning="One HTTP request to an endpoint: submit, poll, look up or cancel.",
    attributes=(
        _always("http.request.method", "Method."),
        _always("url.full", "Address without credentials or signatures."),
        _known("http.response.status_code", "Status of the answer."),
        _known("http.request.resend_count", "0: there is one retry layer and it is not here."),
        *SERVER,
        *IDS,
        ERROR_TYPE,
    ),
    links="none; it is the child of its process span",
)
INFERENCE = Span(
    key="inference",
    name="{gen_ai.operation.name} {gen_ai.request.model}",
    kind="CLIENT",
    meaning="One call of a generative model, around its HTTP requests.",
    attributes=(
        _always("gen_ai.operation.name", "`chat`, `generate_content`, `embeddings`."),
        _always("gen_ai.provider.name", "The provider."),
        _known("gen_ai.request.model", "The model asked for."),
        _known("gen_ai.response.model", "The model that answered."),
        _known("gen_ai.response.id", "The provider's id of the answer."),
        _known("gen_ai.output.type", "`text`, `json`, `image` or `speech`."),
        _known("gen_ai.usage.input_tokens", "Tokens in."),
        _known("gen_ai.usage.output_tokens", "Tokens out."),
        *IDS,
        ERROR_TYPE,
    ),
    links="none; it is the child of its process span",
)
DATABASE = Span(
    key="database",
    name="{db.query.summary}",
    kind="CLIENT",
    meaning="One named statement.",
    attributes=(
        _always("db.system.name", "`postgresql`."),
        _always("db.query.summary", "The name of the statement."),
        _known("db.namespace", "The database."),
        _known("db.operation.batch.size", "Items in the batch."),
        _known("db.response.status_code", "SQLSTATE of a failure."),
        ERROR_TYPE,
    ),
    links="none",
)
CALLBACK = Span(
    key="callback",
    name="{http.request.method} {http.route}",
    kind="SERVER",
    meaning="One provider's callback.",
    attributes=(
        _always("http.request.method", "Method."),
        _always("http.route", "Route template."),
        _known("http.response.status_code", "Status of the answer."),
        _always("heddle.endpoint", "The endpoint."),
        ERROR_TYPE,
    ),
    links="the process span of the attempt it is for",
)

ALL: Final[tuple[Span, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Span))
"""Every span, in the order of this file."""
