"""The version of vllm-connect and of its integrations; all builds read it from here."""

__version__ = "0.1.0"
