"""Pruning: smaller networks chosen by the posterior, and what the parts of a network are worth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
