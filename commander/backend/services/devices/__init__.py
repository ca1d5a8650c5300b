"""Use cases of the Secrets Manager device API, one a file."""
