"""The type checker that jaxtyping's import hook applies to the package: an int is a float, as PEP 484 says.

It looks at one entry of a list, drawn from a generator of its own here, since training looks at whether a network draws
from Python's.
"""

import random

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain

codemain.getrandbits = random.Random(0).getrandbits
checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
