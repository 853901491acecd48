"""The words that Baton's parts exchange, and the wire they travel on."""
