"""The paged-attention engine both pools run: the step as plan, run and commit, and the blocks it uses."""
