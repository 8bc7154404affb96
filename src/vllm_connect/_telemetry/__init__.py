"""OpenTelemetry of our own, by the semantic conventions for GenAI: spans, metrics, and the trace in requests.

providers    what it is written to
attributes   what a call and its answer are in the words of the conventions
watch        one call, from its beginning to the end of its answer

It needs the package `opentelemetry-api` and a provider that somebody has set; the client looks whether there
is one, and otherwise a call pays that look alone.
"""
