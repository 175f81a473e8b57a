"""Invoke models on SageMaker endpoints, real-time and asynchronous.

This folder signs requests, invokes once and reads an asynchronous job's end where SageMaker writes it, in S3. It
refuses to work without botocore, which the extra `aws` brings. Execute and poll stand before it, settle behind it.
"""
