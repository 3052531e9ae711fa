"""Randomness that leaves the global generators alone."""

import torch

from pyro_vds.ops.rng import isolated_items


def test_items_draw_on_from_the_global_generator_and_leave_it_as_it_was():
    torch.manual_seed(0)
    expected = [torch.rand(2) for _ in range(3)]
    torch.manual_seed(0)
    found = []
    for item in isolated_items(torch.rand(2) for _ in range(3)):
        torch.rand(1)  # drawn by the consumer, from the global generator
        found.append(item)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.stack([torch.rand(1) for _ in range(4)])[-1])
