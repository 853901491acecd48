"""`python -m cluster` is `baton`."""

from cluster.cli import app

app(prog_name="baton")
