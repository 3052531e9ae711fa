"""The width axis: each entry is the sliced network, and pruning really slices."""

import math

import pytest
import torch
from torch import nn

import pyro_vds as vds

WIDTHS = (2, 5, 8)


def mlp(readout="all"):
    return vds.ResidualMLP(2, 3, width=8, max_depth=2, readout=readout), torch.randn(10, 2)


def conv(readout="all"):
    net = vds.ResidualConvNet(1, 3, max_depth=2, channels=8, bottleneck=4, readout=readout)
    return net, torch.randn(10, 1, 8, 8)


def custom(readout="all"):
    """A head with two batch norms and a stem of two layers."""
    net = vds.PerDepth(
        stem=nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.Conv2d(6, 8, 1)),
        blocks=[nn.Sequential(nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, 8, 1), nn.BatchNorm2d(8)) for _ in "ab"],
        pool=nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        head=nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 5), nn.BatchNorm1d(5, affine=False), nn.Linear(5, 3)),
        readout=readout,
    )
    return net, torch.randn(10, 3, 6, 6)


def whole_maps(readout="all"):
    """Blocks with skip connections of their own, as torchvision's have."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 8))

        def forward(self, x):
            return x + self.branch(x)

    x = torch.randn(10, 2)
    return vds.FromModules(nn.Linear(2, 8), [Skip(), Skip()], nn.Linear(8, 3), example=x, readout=readout), x


NETS = [mlp, conv, custom, whole_maps]


def wide(build, readout="all"):
    torch.manual_seed(0)
    net, x = build(readout)
    return vds.WithWidths(net, WIDTHS), x


def model_of(build, num_data=10):
    net, x = wide(build)
    net.train()(x)  # statistics away from their start
    model = vds.VDSModel(net, num_data=num_data)
    guide = vds.AutoJointCategorical(model)
    nn.init.normal_(guide.logits["joint"])
    return model, guide, x, torch.arange(10) % 3


@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize("readout", ["all", "last"])
@pytest.mark.parametrize("training", [True, False])
def test_each_width_is_the_sliced_network(build, readout, training):
    net, x = wide(build, readout)
    net.train()(x)
    net.train(training)
    alone = [net.restrict(width=w).train(training) for w in WIDTHS]
    assert (
        (tuple(net.space), net.space.sizes) == (("depth", "width"), (3, 3)) if readout == "all" else (("width",), (3,))
    )
    outputs = net(x)
    for j, network in enumerate(alone):
        torch.testing.assert_close(outputs.select(-3, j), network(x))


@pytest.mark.parametrize("build", NETS)
def test_the_last_width_is_the_network_itself(build):
    torch.manual_seed(0)
    net, x = build()
    torch.testing.assert_close(vds.WithWidths(net, WIDTHS)(x)[:, -1], net(x))
    assert not any("layer" in name for name, _ in net.named_parameters()), "the network itself stays as it is"


@pytest.mark.parametrize("build", NETS)
def test_statistics_are_those_that_each_width_would_keep_alone(build):
    net, x = wide(build)
    alone = [net.restrict(width=w).train() for w in WIDTHS]
    for network in (net.train(), *alone):
        network(x)
        network(x + 1)
    for w, network in zip(WIDTHS, alone, strict=True):
        torch.testing.assert_close(dict(net.restrict(width=w).named_buffers()), dict(network.named_buffers()))


@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize("choice", [{"depth": 1, "width": 5}, {"depth": 0, "width": 2}, {"depth": 1}, {"width": 5}])
def test_pruned_network_has_the_numbers_of_the_prediction(build, choice):
    model, guide, x, y = model_of(build)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    small = vds.prune(model, guide, **choice)
    probs = vds.predict_proba(model, guide, x, **choice)
    torch.testing.assert_close(small(x).detach().exp(), probs)
    log_density = vds.log_predictive(model, guide, x, y, **choice)
    torch.testing.assert_close(log_density, probs[range(10), y].log())
    torch.testing.assert_close(dict(model.state_dict()), before)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


def test_mass_of_a_cut_goes_to_what_stays():
    """Brute force: depths up to the chosen one in the mixture, all mass on the chosen width."""
    model, guide, x, _ = model_of(mlp)
    q = guide.joint_probs().sum(1)
    outputs = model.backbone.eval()(x)[:2, 1].softmax(-1).detach()
    expected = q[0] * outputs[0] + (q[1] + q[2]) * outputs[1]
    torch.testing.assert_close(vds.predict_proba(model, guide, x, depth=1, width=5), expected)


def test_pruned_network_exports():
    model, guide, x, _ = model_of(conv)
    small = vds.prune(model, guide, depth=1, width=5)
    exported = torch.export.export(small, (x,)).module()
    torch.testing.assert_close(exported(x), small(x))


def test_multiply_adds_are_those_of_the_layers():
    net, x = wide(mlp)
    costs = vds.multiply_adds(net, x)
    expected = [[2 * w + d * w * w + (d + 1) * w * 3 for w in WIDTHS] for d in range(3)]
    assert costs.tolist() == expected
    assert vds.multiply_adds(mlp()[0], x).tolist() == [row[-1] for row in expected]


def test_the_cheapest_architecture_near_the_mode_is_chosen():
    model, guide, x, _ = model_of(mlp)
    costs = vds.multiply_adds(model.backbone, x)
    table = torch.tensor([[0.01, 0.05, 0.05], [0.05, 0.195, 0.205], [0.01, 0.20, 0.23]])
    guide.set_joint_probs(table)
    assert vds.choose(model, guide, costs, share=1.0) == {"depth": 2, "width": 8}
    assert vds.choose(model, guide, costs, share=0.88) == {"depth": 1, "width": 8}
    assert vds.choose(model, guide, costs, share=0.84) == {"depth": 1, "width": 5}
    vds.prune(model, guide, **vds.choose(model, guide, costs))


def test_choice_on_one_axis_is_the_paper_s_rule():
    net, x = mlp()
    model = vds.VDSModel(net, num_data=10)
    guide = vds.AutoCategorical(model)
    for q in ([0.2, 0.4, 0.4], [0.5, 0.3, 0.2], [0.1, 0.44, 0.46], [0.1, 0.4, 0.5]):
        guide.set_probs({"depth": torch.tensor(q)})
        found = vds.choose(model, guide, vds.multiply_adds(net, x))
        assert found == {"depth": vds.choose_depth(torch.tensor(q), "95")}


@pytest.mark.parametrize("build", [mlp, conv])
def test_training_learns_every_width_compiled_or_not(build):
    histories = []
    for compile in (False, True):
        net, x = wide(build)
        model = vds.VDSModel(net, priors={"depth": vds.priors.Geometric(), "width": vds.priors.Uniform()}, num_data=10)
        guide = vds.AutoConditionalCategorical(model)
        data = (x, torch.arange(10) % 3)
        histories.append(vds.fit(model, guide, data, max_epochs=25, lr=0.01, compile=compile, progress=False))
    torch.testing.assert_close(histories[1].elbo, histories[0].elbo)
    assert histories[0].elbo[-1] > histories[0].elbo[0]
    assert set(histories[0].probs) == {"depth", "width"}


def test_replicates_of_widths_are_those_trained_alone():
    net, x = wide(mlp)
    y, how = torch.arange(10) % 3, {"max_epochs": 10, "lr": 0.01, "progress": False}
    model = vds.VDSModel(vds.Replicated(net, 2, seed=3), num_data=10)
    guide = vds.AutoConditionalCategorical(model)
    vds.fit(model, guide, (x, y), seed=3, **how)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.manual_seed(3 + r)
        alone = vds.VDSModel(vds.WithWidths(mlp()[0], WIDTHS), num_data=10)
        expected = vds.AutoConditionalCategorical(alone)
        vds.fit(alone, expected, (x, y), seed=3 + r, **how)
        torch.testing.assert_close(dict(one.state_dict()), dict(alone.state_dict()))
        torch.testing.assert_close(its_guide.joint_probs(), expected.joint_probs())


def test_datatree_names_the_widths():
    model, guide, x, y = model_of(mlp)
    tree = vds.to_datatree(model, guide, x, y, draws=200)
    assert tree["architecture"]["width"].values.tolist() == list(WIDTHS)
    assert set(tree["posterior"]["width"].values.ravel().tolist()) <= set(WIDTHS)
    exact = vds.exact_posterior(model, (x, y))
    assert exact.log_joint_probs.shape == (3, 3)
    assert math.isclose(float(exact.probs["width"].sum()), 1)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("widths", [[], [8, 5], [0, 8], [2, 5], [2, 5, 9], [2.0, 8], [True, 8]])
def test_widths_that_do_not_fit_are_refused(widths):
    with pytest.raises(ValueError, match="Expected increasing widths that end with the network's own, 8; got"):
        vds.WithWidths(mlp()[0], widths)


@pytest.mark.usefixtures("as_a_user")
def test_networks_that_cannot_be_nested_are_refused():
    def net(block, stem=None, head=None, **how):
        return vds.PerDepth(stem or nn.Conv2d(1, 8, 1), [block], head or nn.Linear(8, 2), **how)

    with pytest.raises(TypeError, match="Expected a PerDepth backbone to add widths to, got Linear"):
        vds.WithWidths(nn.Linear(2, 2), [1, 2])
    with pytest.raises(TypeError, match=r"Expected only Linear, .* got LayerNorm as blocks\.0"):
        vds.WithWidths(net(nn.LayerNorm(8)), [8])
    with pytest.raises(TypeError, match=r"got Conv2d as blocks\.0"):
        vds.WithWidths(net(nn.Conv2d(8, 8, 3, groups=2)), [8])
    with pytest.raises(ValueError, match="Expected layer head to have 8 input channels, .* got 32. Pool images"):
        vds.WithWidths(net(nn.Conv2d(8, 8, 1), head=nn.Linear(32, 2), pool=nn.Flatten()), [8])
    with pytest.raises(ValueError, match="Expected a Linear or Conv2d layer in the stem"):
        vds.WithWidths(net(nn.Linear(8, 8), stem=nn.Identity()), [8])
    with pytest.raises(ValueError, match=r"Expected batch norm after the first .* got BatchNorm1d as stem\.0"):
        vds.WithWidths(net(nn.Linear(8, 8), stem=nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8))), [8])
    standardise = vds.Standardise(torch.zeros(8), torch.ones(8))
    with pytest.raises(ValueError, match=r"Standardise before it, got Standardise as stem\.1"):
        vds.WithWidths(net(nn.Linear(8, 8), stem=nn.Sequential(nn.Linear(4, 8), standardise)), [8])
    with pytest.raises(ValueError, match="Expected no batch norm after the last layer"):
        vds.WithWidths(net(nn.Linear(8, 8), head=nn.Sequential(nn.Linear(8, 2), nn.BatchNorm1d(2))), [8])
    stages = [nn.Linear(8, 8), nn.Linear(8, 6)]
    with pytest.raises(TypeError, match=r"Expected a network of a stem, .* got also \['adapters.0'\]\."):
        vds.WithWidths(vds.FromModules(nn.Linear(2, 8), stages, nn.Linear(6, 2), example=torch.zeros(1, 2)), [8])
    with pytest.raises(TypeError, match="got also several heads"):
        vds.WithWidths(
            vds.FromModules(nn.Linear(2, 8), stages, lambda w: nn.Linear(w, 2), example=torch.zeros(1, 2)), [8]
        )
    shared = vds.ResidualConvNet(1, 3, 1, channels=8, bottleneck=4, head_statistics="shared")
    with pytest.raises(
        ValueError, match='Expected head_statistics="per_depth" for a network with widths, got "shared"'
    ):
        vds.WithWidths(shared, [8])


@pytest.mark.usefixtures("as_a_user")
def test_cuts_that_do_not_exist_are_refused():
    model, guide, x, _ = model_of(mlp)
    with pytest.raises(ValueError, match=r"Expected a width in \[2, 5, 8\], got 3"):
        vds.prune(model, guide, depth=1, width=3)
    with pytest.raises(ValueError, match=r"Expected a depth in 0\.\.2, got 3"):
        vds.predict_proba(model, guide, x, depth=3)
    with pytest.raises(TypeError, match="Expected width as an int, got 5.0"):
        vds.predict_proba(model, guide, x, width=5.0)
    with pytest.raises(ValueError, match=r"Expected a width in \[2, 5, 8\], got 4"):
        model.backbone.restrict(width=4)
    with pytest.raises(ValueError, match="Expected a label to cut to"):
        vds.prune(model, guide)
    single = vds.VDSModel(mlp()[0], num_data=3)
    with pytest.raises(ValueError, match="Expected a model with an axis 'width' to cut"):
        vds.predict_proba(single, vds.AutoCategorical(single), x, width=8)
    with pytest.raises(ValueError, match=r"Expected a finite cost for each architecture, shape \(3, 3\)"):
        vds.choose(model, guide, torch.ones(3))
    with pytest.raises(ValueError, match=r"Expected a share in \(0, 1\], got 0"):
        vds.choose(model, guide, torch.ones(3, 3), share=0)
    with pytest.raises(TypeError, match=r"Expected a backbone with a space and a method restrict\(\), got"):
        vds.multiply_adds(nn.Linear(2, 2), x)
    with pytest.raises(ValueError, match="Expected at least one input to count"):
        vds.multiply_adds(model.backbone, x[:0])
    nn.init.constant_(guide.logits["joint"], torch.nan)
    with pytest.raises(ValueError, match="Expected finite probabilities"):
        vds.choose(model, guide, torch.ones(3, 3))
