"""What each figure of the paper claims, and what our result files say to it.

``python -m experiments.claims`` writes the tables into the pages of results; the notebook of the figures shows the
same lines. Every verdict follows from the numbers by a rule that stands beside it.
"""

from experiments.claims.ablations import ABLATIONS, Ablation
from experiments.claims.images import IMAGE_CLAIMS
from experiments.claims.parts import Claim, Verdict, finding
from experiments.claims.spirals import SPIRAL_CLAIMS

CLAIMS = [*SPIRAL_CLAIMS, *IMAGE_CLAIMS]

__all__ = ["ABLATIONS", "CLAIMS", "Ablation", "Claim", "Verdict", "finding"]
