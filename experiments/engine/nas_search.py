"""Search in a table of accuracies: every method looks up the same number of architectures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_vds.guides import SiteDistribution

DRAWS = 10  # architectures for each gradient step
POPULATION, TOURNAMENT = 25, 5


@dataclass(frozen=True)
class Trace:
    """What a search did.

    Attributes:
        looked_up: The architectures in the order of the look-ups, positions in the flattened table.
        answers: The architecture that the search would name after some numbers of look-ups, by that number.
    """

    looked_up: Tensor
    answers: dict[int, int]


# Takes the table of log-likelihoods, the number of look-ups, and the numbers after which an answer is asked for.
Search = Callable[[Tensor, int, tuple[int, ...]], Trace]


def best_seen(looked_up: Tensor, table: Tensor, marks: tuple[int, ...]) -> dict[int, int]:
    """Return the best of the architectures that were looked up, after each of some numbers of look-ups.

    Args:
        looked_up: Positions in the flattened table, in order.
        table: What is to be large.
        marks: Numbers of look-ups.
    """
    values = table.flatten()[looked_up]
    return {mark: int(looked_up[:mark][values[:mark].argmax()]) for mark in marks}


def random_search(table: Tensor, look_ups: int, marks: tuple[int, ...]) -> Trace:
    """Look up architectures at random, with replacement."""
    looked_up = torch.randint(table.numel(), (look_ups,))
    return Trace(looked_up, best_seen(looked_up, table, marks))


def evolution(table: Tensor, look_ups: int, marks: tuple[int, ...]) -> Trace:
    """Change one choice of the best of a few, and drop the oldest.

    Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv 1802.01548).
    """
    sites, options, values = table.ndim, table.shape[0], table.flatten()
    population = torch.randint(table.numel(), (min(POPULATION, look_ups),)).tolist()
    looked_up = list(population)
    while len(looked_up) < look_ups:
        drawn = [population[i] for i in torch.randint(len(population), (TOURNAMENT,)).tolist()]
        parent = max(drawn, key=lambda i: float(values[i]))
        stride = options ** int(torch.randint(sites, ()))
        choice = parent // stride % options
        other = (choice + 1 + int(torch.randint(options - 1, ()))) % options
        child = parent + (other - choice) * stride
        population = [*population[1:], child]
        looked_up.append(child)
    found = torch.tensor(looked_up)
    return Trace(found, best_seen(found, table, marks))


def score_loss(distribution: SiteDistribution, choices: Tensor, log_likelihood: Tensor) -> Tensor:
    """Return a number whose gradient is an unbiased estimate of that of the negative ELBO with a uniform prior.

    ``ELBO = E_q[log p(data | a) - log q(a)]``; the score of a draw is weighted by its ELBO term minus the mean of the
    others' (leave one out).

    Args:
        distribution: The distribution ``q``.
        choices: Draws of ``q``, ``(draw, site)``, at least two.
        log_likelihood: Log-likelihood of each draw, nats.
    """
    log_q = distribution.log_prob(choices)
    terms = log_likelihood - log_q.detach()
    weights = terms - (terms.sum() - terms) / (len(terms) - 1)
    return -(weights * log_q).mean()


def score_search(make: Callable[[int, int], SiteDistribution], lr: float) -> Search:
    """Return a search that raises the ELBO of a distribution by score gradients, and names its most probable one.

    Each step of Adam looks up :data:`DRAWS` architectures.

    Args:
        make: Makes a distribution of a number of sites and options.
        lr: Learning rate.
    """

    def search(table: Tensor, look_ups: int, marks: tuple[int, ...]) -> Trace:
        distribution = make(table.ndim, table.shape[0]).double()
        optimiser = torch.optim.Adam(distribution.parameters(), lr)
        parts: list[Tensor] = []
        answers: dict[int, int] = {}
        for count in range(DRAWS, look_ups + 1, DRAWS):
            choices = distribution.sample(DRAWS)
            places = torch.from_numpy(np.ravel_multi_index(tuple(choices.T.numpy()), table.shape))
            optimiser.zero_grad()
            score_loss(distribution, choices, table.flatten()[places]).backward()
            optimiser.step()
            parts.append(places)
            if count in marks:
                with torch.no_grad():
                    answers[count] = int(distribution.joint_log_probs().argmax())
        return Trace(torch.cat(parts), answers)

    return search
