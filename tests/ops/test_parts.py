"""Modules as people write them, in every kind of network: what they may do to their inputs, and what they return."""

import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.ops.compat import checks_of_distributions
from pyro_vds.ops.copies import copied
from pyro_vds.ops.parts import OverwrittenInputError, spare_input

QUIET = {"progress": False, "max_epochs": 1}


class Overwrites(nn.Module):
    """Writes into its input, always or in training mode."""

    def __init__(self, width=4, always=True):
        super().__init__()
        self.linear, self.always = nn.Linear(width, width), always

    def forward(self, h):
        return self.linear(torch.relu_(h) if self.always or self.training else h.relu())


def data():
    x = torch.randn(12, 4)
    return x, (x[:, 0] > 0).long()


def trained(net, pair):
    model = vds.VDSModel(net, num_data=len(pair[0]))
    vds.fit(model, vds.AutoCategorical(model), pair, **QUIET)


def branches(make, inplace, kind):
    """A network whose parts begin with a layer that can work in place."""
    torch.manual_seed(1)
    blocks = [nn.Sequential(nn.Sequential(nn.Identity(), make(inplace)), nn.Linear(4, 4)) for _ in range(2)]
    head = nn.Sequential(make(inplace), nn.Linear(4, 2))
    if kind == "per depth":
        return vds.PerDepth(nn.Identity(), blocks, head, pool=make(inplace))
    if kind == "last":
        return vds.PerDepth(nn.Identity(), blocks, head, readout="last")
    if kind == "from modules":
        return vds.FromModules(make(inplace), blocks, head, example=torch.randn(1, 4), pool=make(inplace))
    if kind == "own heads":
        heads = lambda width: nn.Sequential(make(inplace), nn.Linear(width, 2))  # noqa: E731
        return vds.FromModules(nn.Identity(), blocks, heads, example=torch.randn(1, 4), readout="last")
    if kind == "gates":
        return vds.WithGates(vds.PerDepth(nn.Identity(), blocks, head))
    if kind == "widths":
        return vds.WithWidths(vds.PerDepth(nn.Linear(4, 4), blocks, head), (2, 4))
    options = {(0, 1): {"a": make(inplace), "b": None}, (0, 2): {"a": nn.Identity(), "b": make(inplace)}}
    return vds.SearchGraph(
        nn.Identity(),
        [blocks[0]],
        nn.Linear(4, 2),
        options | {(1, 2): options[0, 1]},
        axis="op",
        example=torch.ones(1, 4),
    )


@pytest.mark.parametrize("make", [lambda inplace: nn.ReLU(inplace), lambda inplace: nn.Dropout(0.5, inplace)])
@pytest.mark.parametrize("kind", ["per depth", "last", "from modules", "own heads", "gates", "widths", "graph"])
@torch.no_grad()
def test_layers_in_place_change_neither_the_numbers_nor_the_data(make, kind):
    x, _ = data()
    keep = x.clone()
    for training in (True, False):
        found = []
        for inplace in (True, False):
            net = branches(make, inplace, kind).train(training)
            torch.manual_seed(2)
            found.append(net(x))
        torch.testing.assert_close(*found, rtol=0, atol=0)
    assert torch.equal(x, keep)
    cut = {"op": ("a", "a", "b")} if kind == "graph" else {"block": (True, False)} if kind == "gates" else {}
    if cut:
        one, other = (branches(make, inplace, kind).eval().restrict(**cut)(x) for inplace in (True, False))
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_only_layers_that_meet_the_input_are_changed():
    behind = nn.ReLU(inplace=True)
    module = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Dropout(inplace=True)), nn.ReLU(inplace=True), nn.Linear(2, 2), behind
    )
    spare_input(module)
    assert [m.inplace for m in module.modules() if hasattr(m, "inplace")] == [False, False, True]


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("replicated", [False, True])
def test_a_block_that_overwrites_its_input_is_refused_before_it_meets_the_data(always, replicated):
    x, y = data()
    keep = x.clone()
    net = vds.PerDepth(nn.Identity(), [nn.Linear(4, 4), Overwrites(always=always)], nn.Linear(4, 2))
    with pytest.raises(OverwrittenInputError, match="Expected block 2 not to change its input, .* Set inplace=False"):
        trained(vds.Replicated(net, 2) if replicated else net, (x, y))
    blocks = [Overwrites(always=always)]
    with pytest.raises(OverwrittenInputError, match="Expected block 1 not to change its input"):
        trained(vds.PerDepth(nn.Identity(), blocks, nn.Linear(4, 2)), (x, y))
    assert torch.equal(x, keep)


def test_other_parts_that_overwrite_their_input_are_named():
    x, _ = data()
    stem, head = nn.Linear(4, 4), nn.Linear(4, 2)
    for name, net in (
        ("the stem", vds.PerDepth(Overwrites(), [], head)),
        ("the pool", vds.PerDepth(stem, [], head, pool=Overwrites())),
        ("the head", vds.PerDepth(stem, [], Overwrites())),
        ("block 1", vds.WithGates(vds.PerDepth(stem, [Overwrites()], head))),
    ):
        with pytest.raises(OverwrittenInputError, match=f"Expected {name} not to change"), torch.no_grad():
            net(x)
    with pytest.raises(OverwrittenInputError, match="Expected the adapter of stage 0 not to change"):
        vds.FromModules(stem, [nn.Linear(4, 3)], nn.Linear(3, 2), example=x, adapter=lambda *_: Overwrites())
    with pytest.raises(OverwrittenInputError, match=r"Expected operations\.0\.0 not to change"):
        vds.SearchGraph(stem, [], head, {(0, 1): {"a": Overwrites(), "b": None}}, axis="op", example=x)


@pytest.mark.usefixtures("as_a_user")
def test_blocks_that_return_tuples_are_refused():
    x, y = data()
    lstms, message = (
        [nn.LSTM(4, 4)],
        r"Expected block 1 to return a tensor, got a tuple\. Wrap it .* self\.inner\(x\)\[0\]",
    )
    with pytest.raises(TypeError, match=message):
        vds.FromModules(nn.Linear(4, 4), lstms, nn.Linear(4, 2), example=x)
    with pytest.raises(TypeError, match=message):
        trained(vds.PerDepth(nn.Linear(4, 4), lstms, nn.Linear(4, 2)), (x, y))
    with pytest.raises(TypeError, match="Expected the head to return a tensor, got a tuple"):
        trained(vds.PerDepth(nn.Linear(4, 4), [], nn.LSTM(4, 2)), (x, y))


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(4, 4), []

    def forward(self, h):
        self.last = self.linear(h)
        self.seen.append({"last": self.last})
        return self.last


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated", "ignore:.*spectral_norm. is deprecated")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.utils.weight_norm(nn.Linear(4, 4)),
        lambda: nn.utils.spectral_norm(nn.Linear(4, 4)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        Remembers,
    ],
)
def test_networks_that_hold_computed_tensors_are_cut_and_copied(make):
    x, y = data()
    model = vds.VDSModel(vds.PerDepth(nn.Linear(4, 4), [make() for _ in range(3)], nn.Linear(4, 2)), num_data=12)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), **QUIET)
    small = vds.prune(model, guide, depth=2)
    torch.testing.assert_close(small(x).exp(), vds.predict_proba(model, guide, x, depth=2))
    model.backbone(x).sum().backward()
    copy = copied(model.backbone)
    assert not {p.data_ptr() for p in copy.parameters()} & {p.data_ptr() for p in model.backbone.parameters()}
    torch.testing.assert_close(copy(x), model.backbone(x))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated", "ignore:.*spectral_norm. is deprecated")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_replicates_whose_weights_would_not_be_drawn_are_refused(norm):
    net = vds.PerDepth(nn.Linear(4, 4), [norm(nn.Linear(4, 4))], nn.Linear(4, 2))
    with pytest.raises(TypeError, match=r"Expected reset_parameters\(\) of Linear to draw all of its parameters again"):
        vds.Replicated(net, 2)


def lazy(head=nn.LazyLinear):
    return vds.PerDepth(nn.LazyLinear(4), [nn.Sequential(nn.LazyLinear(4), nn.Tanh())], head(2))


@pytest.mark.usefixtures("as_a_user")
def test_lazy_modules_get_their_shapes_from_an_example_or_are_refused():
    message = r"Expected modules whose parameters have shapes, got the lazy LazyLinear as .*stem.*network\(x\[:2\]\)"
    for make in (
        lambda: vds.VDSModel(lazy(), num_data=12),
        lambda: vds.VDSModel(vds.WithGates(lazy()), num_data=12),
        lambda: vds.Replicated(lazy(), 2),
        lambda: vds.WithWidths(lazy(), (2, 4)),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(ValueError, match="got the lazy LazyBatchNorm1d"):
        lazy(lambda _: nn.Sequential(nn.LazyBatchNorm1d(), nn.LazyLinear(2)))
    x, y = data()
    net = lazy()
    net(x[:2])
    trained(net, (x, y))
    head = nn.Sequential(nn.LazyBatchNorm1d(), nn.LazyLinear(2))
    net = vds.FromModules(nn.LazyLinear(4), [nn.LazyLinear(3)], head, example=x)
    assert [tuple(p.shape) for p in net.head.parameters()] == [(3,), (3,), (2, 3), (2,)]
    trained(net, (x, y))


def test_a_compiled_network_is_refused_and_compiled_blocks_are_not():
    with checks_of_distributions():
        compiled = torch.compile(lazy(), backend="eager")
        block = torch.compile(nn.Linear(4, 4), backend="eager")
    for make in (lambda: vds.VDSModel(compiled, num_data=12), lambda: vds.Replicated(compiled, 2)):
        with pytest.raises(TypeError, match=r"Expected a network that is not compiled, got the result of torch\."):
            make()
    net = vds.PerDepth(nn.Linear(4, 4), [block], nn.Linear(4, 2))
    assert net.first_entries() == {"depth": {"blocks.0._orig_mod.weight": 1, "blocks.0._orig_mod.bias": 1}}
    vds.VDSModel(net.restrict(depth=1), num_data=12)
