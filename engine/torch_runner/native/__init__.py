"""Kernels in C++ for CPUs: built by the compiler that is there, called through ctypes."""
