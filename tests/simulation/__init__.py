"""The real gateway, router, workers, engine and protocol in one thread on a virtual clock."""
