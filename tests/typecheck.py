"""The type checker that jaxtyping's import hook applies to the package: an int is a float, as PEP 484 says."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
