"""Commander: self-hosted privileged access. Each room below has a README.md."""

__version__ = "0.1.0"
