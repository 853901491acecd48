"""The engine on an NVIDIA device: Triton attention, CUDA graphs, tokens drawn on the device.

The kernels, and the runner over host memory, run in ordinary tests by Triton's interpreter. Nothing here
has run on a device yet; `make test-cuda` and `make bench-cuda` are what to run first where there is one.
"""
