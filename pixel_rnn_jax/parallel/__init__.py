"""Devices and processes: the mesh, how batches and states are sharded, and how processes find one another.

Imports nothing from other folders.
"""
