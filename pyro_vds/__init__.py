"""Exact variational inference over the architecture of neural networks, such as the depth of a ResNet, in Pyro.

The paper is Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets", 2020 (arXiv 2002.02797).

A name is imported when it is first used: ``__init__.pyi`` says where each comes from.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
