"""Everything that faces Ray and the operator: spec, Serve app, directory and the baton command."""
