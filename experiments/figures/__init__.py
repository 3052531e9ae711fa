"""The paper's figures 2 to 11, drawn from result files.

Each function takes the results of its experiments, as :func:`experiments.engine.results.results` reads them, and
axes to draw on, which it makes unless given; it returns the axes.
"""

from experiments.figures.images import figure_4, figure_9, figure_10, figure_11
from experiments.figures.spirals import figure_2, figure_3, figure_5, figure_6, figure_7, figure_8

__all__ = [
    "figure_2",
    "figure_3",
    "figure_4",
    "figure_5",
    "figure_6",
    "figure_7",
    "figure_8",
    "figure_9",
    "figure_10",
    "figure_11",
]
