"""The paper's experiments and ablations; run one with ``python -m experiments NAME``.

A module here is an experiment: a ``SCAN`` of settings, or a function ``run`` whose result is one file. The packages
are what they share: ``engine`` runs, measures and keeps results, ``figures`` draws them.
"""
