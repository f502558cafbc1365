"""Devices and processes: the mesh, the sharding of batches and states, several hosts, microbatches.

Imports only `errors`.
"""
