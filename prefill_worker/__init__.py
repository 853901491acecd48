"""The prefill role: admits a request, computes its chunks, publishes full blocks and holds their lease."""
