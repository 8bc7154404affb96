"""For whoever writes an integration: what more than one of them needs."""

from .._wire.endings import describe_cut, describe_empty
from .._wire.schema_prompt import schema_prompt, show_schema

__all__ = ["describe_cut", "describe_empty", "schema_prompt", "show_schema"]
