"""For whoever writes an integration: what more than one of them needs."""

from .._wire.schema_prompt import schema_prompt, show_schema

__all__ = ["schema_prompt", "show_schema"]
