"""Stand in for SageMaker's runtime, and for the S3 that its asynchronous jobs end in."""
