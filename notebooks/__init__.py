"""Tutorials. ``python -m notebooks [--tiny] [NAME...]`` runs them."""
