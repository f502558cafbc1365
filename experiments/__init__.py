"""Command lines (`python -m experiments.NAME`) and configurations."""
