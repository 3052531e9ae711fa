"""Experiments whose results the README shows; run one with ``python -m experiments NAME``."""
