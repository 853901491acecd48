"""Tests that need a CUDA device: `make test-cuda`. They are no part of `make test`."""
