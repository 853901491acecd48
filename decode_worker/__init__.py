"""The decode role: reserves a slot, pulls and verifies blocks, batches and streams the tokens."""
