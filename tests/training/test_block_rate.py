"""Gradients at full rate against gradients of the single read-outs, in plain torch."""

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.training.objective import Objective
from pyro_vds.training.steps import EagerStep


def gradients(block_rate, logits, **settings):
    """The gradients of one step by the parameters' names, and the model."""
    model, guide, x, y = oracles.problem(3)
    model.eval()
    with torch.no_grad():
        guide.logits["depth"].copy_(logits)
    config = vds.TrainingConfig(block_rate=block_rate, lr=1e-30, **settings)
    step = EagerStep(Objective(vds.enum_elbo(model, guide), config), config)
    step(x, y)
    return {name: p.grad.clone() for name, p in model.backbone.named_parameters()}, model, x, y


@pytest.mark.parametrize("floor", [0.0, 0.4])
def test_a_block_learns_from_the_mean_of_the_readouts_that_use_it(floor):
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    found, model, x, y = gradients("full", logits, weight_floor=floor)
    q = (1 - floor) * logits.softmax(0) + floor / 4
    log_probs = model.backbone(x).log_softmax(-1)
    losses = -log_probs.gather(-1, y.expand(4, -1)[..., None])[..., 0].mean(-1)
    for name, parameter in model.backbone.named_parameters():
        first = int(name.split(".")[1]) + 1 if name.startswith("blocks.") else 0
        weights = q[first:] / q[first:].sum()
        loss = (weights.to(losses) * losses[first:]).sum()
        (expected,) = torch.autograd.grad(loss, parameter, retain_graph=True)
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-8)


def test_the_paper_s_rate_is_the_gradient_of_the_bound():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    paper, *_ = gradients("paper", logits)
    full, *_ = gradients("full", logits)
    q = logits.softmax(0)
    for name, gradient in paper.items():
        first = int(name.split(".")[1]) + 1 if name.startswith("blocks.") else 0
        torch.testing.assert_close(full[name], gradient / q[first:].sum().to(gradient), rtol=1e-5, atol=1e-8)


def test_the_factor_is_bounded():
    logits = torch.tensor([50.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    paper, *_ = gradients("paper", logits)
    full, *_ = gradients("full", logits)
    name = "blocks.2.0.weight"
    torch.testing.assert_close(full[name], paper[name] * 50)


def test_names_of_parameters_follow_the_network_around_them():
    network = vds.ResidualMLP(2, 2, width=4, max_depth=2)
    wide = vds.WithWidths(network, (2, 4))
    for backbone in (network, wide, vds.Replicated(network, 2), vds.Replicated(wide, 2)):
        found = backbone.first_entries()["depth"]
        assert set(found) == {name for name, _ in backbone.named_parameters() if "blocks." in name}
        assert set(found.values()) == {1, 2}
    assert vds.ResidualMLP(2, 2, max_depth=2, readout="last").first_entries() == {}


def test_a_shared_parameter_counts_from_its_first_use():
    block = torch.nn.Linear(3, 3)
    tied = vds.PerDepth(torch.nn.Linear(2, 3), [block, block], torch.nn.Linear(3, 2))
    assert tied.first_entries() == {"depth": {"blocks.0.weight": 1, "blocks.0.bias": 1}}
    stem = torch.nn.Linear(3, 3)
    assert vds.PerDepth(stem, [stem], torch.nn.Linear(3, 2)).first_entries() == {"depth": {}}


def test_a_backbone_that_cannot_say_it_is_refused():
    class Own(torch.nn.Module):
        space = vds.Space([vds.Axis("colour", (0, 1), nested=True)])

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2, 2, 2))

        def forward(self, x):
            return torch.einsum("aij,ni->anj", self.weight, x)

    model = vds.VDSModel(Own(), num_data=4)
    data = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(TypeError, match="first_entries"):
        vds.fit(model, vds.AutoCategorical(model), data, max_epochs=1, block_rate="full", progress=False)
