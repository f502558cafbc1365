"""Devices and processes: the mesh, sharding, several hosts; devices that are only described, and what is compiled for them.

Imports only `errors`.
"""
