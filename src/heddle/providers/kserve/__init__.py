"""Call models served by the Open Inference Protocol V2, as KServe, Triton and our example model server speak it.

This folder turns a step's input into tensors and the answer's tensors into JSON and pictures. The calls are free and
stateless; it refuses to poll, to retry and to guess types it was not told. Execute stands before it, settle behind it.
"""
