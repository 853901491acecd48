"""The engine on an NVIDIA device: Triton attention, CUDA graphs, tokens drawn on the device.

Ordinary tests run the kernels in Triton's interpreter (fp32 only), compile them for Hopper, and run the
runner over host memory. Nothing here has run on a device yet; `make test-cuda` and `make bench-cuda` are
what to run first where there is one.
"""
