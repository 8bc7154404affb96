"""What may be asked, and vLLM's own checks of it, in vLLM's order: a module for each kind of request."""
