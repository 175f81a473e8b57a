"""The law of Heddle: decisions as pure functions over frozen records, on the standard library alone.

Nothing here does I/O, reads a clock or draws chance unless it is handed in. The engine carries out what this
package decides; the store keeps what this package names. The words below have one meaning each, in code, SQL,
documents and messages.

============ ==========================================================================================================
Word         Meaning
============ ==========================================================================================================
tenant       the customer (a brand) that work, keys, quotas, budgets and costs belong to
workflow     a Python function that composes calls, registered under a name and a version
run          one execution of a workflow
call         the handle a workflow gets when it calls a step, a model or a workflow; awaitable; an edge when passed on
step         the durable row behind a call
activation   one pass of the workflow function over its journal; itself a leased, fenced step (ordinal 0)
journal      the steps of a run as the workflow function sees them when it is replayed
model        a logical name with input and output schema, priced and routed
endpoint     one place a model can run: adapter, address, credential
route        model to endpoint, with tier, weight and conditions
objective    what the routes of one tier are shared by: weights, price, speed, reliability
scorecard    what calls of a model at an endpoint came to, the latest counting most
canary       a route that is tried on a share of its tier, compared with the others, rolled back when it is worse
gate         what a result must pass to be accepted
rule         the number of a set of regions, which a tenant's calls do not leave and a route may serve
scope        what a limit belongs to: an account, an account and model, a region; an endpoint lists one to four
attempt      one try of a step at one endpoint
class        interactive, standard or batch: the ``priority`` of the API
lane         kind, name, version and class: what a worker can serve, and what fairness is kept per
lease        a worker's time-limited right to act on a step
fence        the number that makes a late writer harmless
slot         one unit of a scope's concurrency, held from claim until the provider's job is known to be over
fault        a classified failure
verdict      what follows from an outcome: complete, retry at, fall back, poll at, wait, fail, bury
artifact     media by reference: tenant, sha256, media type and size; the bytes live in object storage
callback     a provider telling us
webhook      us telling a customer
event        what a customer is told of a run; named by the run and by the number of its end
outbox       events that customers do not have yet
receiver     where one tenant's webhooks go: scheme, host and port; what stands or falls together
inbox        verified callbacks that no step has consumed yet
stray        a verified callback to an account's one address of a job that no call in flight has: late, or not ours
doorbell     a hint that work may be ready; losing one costs time, never work
dead letter  a step that ended in failure and can be replayed
ledger       every reservation, release, charge, refund and adjustment
cap          a bound on money: of a run, a tenant's day or month, a workflow's day
quote        what a run or a call will probably cost; holds nobody to anything
============ ==========================================================================================================
"""
