"""Call models that MLflow serves: ``mlflow models serve``, MLServer's runtime for it, Databricks serving endpoints.

This folder writes a step's input as one of the scoring server's JSON forms and unwraps its ``predictions``. It refuses
to guess a form. Execute stands before it, settle behind it.
"""
