"""Backbones made of others' modules, against a loop over depths in plain torch."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18, resnet50

import pyro_vds as vds
from pyro_vds.backbones.normalisation import ReadoutBatchNorm
from pyro_vds.training.memory import estimate_memory

QUIET = {"progress": False}


class Repeat(nn.Module):
    """One grey channel as three, for networks that expect colours."""

    def forward(self, x):
        return x.expand(-1, 3, -1, -1)


class Skip(nn.Module):
    """A residual block that may change the width."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.Tanh())
        self.skip = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.skip(x) + self.inner(x)


WIDTHS = [6, 6, 4, 4, 3]


def modules():
    torch.manual_seed(1)
    blocks = [Skip(one, two) for one, two in pairwise(WIDTHS)]
    return nn.Linear(2, 6), blocks


def norm_head(width):
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, 5))


def stages(head=None, **how):
    stem, blocks = modules()
    return vds.FromModules(stem, blocks, nn.Linear(3, 5) if head is None else head, example=torch.zeros(1, 2), **how)


def sequential():
    stem, blocks = modules()
    return nn.Sequential(stem, *blocks, nn.Unflatten(1, (-1, 1)), nn.Flatten(), nn.Linear(3, 5))


def tiny_vit(**how):
    torch.manual_seed(2)
    return VisionTransformer(8, 2, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10, **how)


def narrow_resnet():
    """A ResNet-18 of a sixteenth of the usual width."""
    torch.manual_seed(3)
    net = resnet18(num_classes=10)
    for module in net.modules():
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(module, name, None)
            if tensor is not None:
                keep = [size if size in (1, 3, 7, 10) else size // 16 for size in tensor.shape]
                tensor.data = tensor.data[tuple(slice(size) for size in keep)].clone()
        if isinstance(module, nn.BatchNorm2d):
            module.num_features //= 16
    net.fc.in_features //= 16
    return net


def oracle(net, x):
    """Each depth by a forward pass of its own."""
    found = []
    for depth in range(len(net.blocks) + 1):
        a = net.stem(x)
        for block in list(net.blocks)[:depth]:
            a = block(a)
        features = net.pool(a)
        stage = net.stages[depth]
        per_stage = isinstance(net.head, nn.ModuleList)
        found.append(net.head[stage](features) if per_stage else net.head(net.adapters[stage](features)))
    return torch.stack(found)


CASES = {
    "shared head": (stages, (2,), [0, 0, 1, 1, 2]),
    "head of each stage": (lambda: stages(lambda width: nn.Linear(width, 5)), (2,), [0, 0, 1, 1, 2]),
    "own adapter": (
        lambda: stages(adapter=lambda width, last: nn.Sequential(nn.Linear(width, last), nn.Tanh())),
        (2,),
        [0, 0, 1, 1, 2],
    ),
    "sequential": (
        lambda: vds.from_sequential(sequential(), slice(1, 5), head=-1, example=torch.zeros(1, 2)),
        (2,),
        [0, 0, 1, 1, 2],
    ),
    "resnet": (lambda: vds.from_resnet(narrow_resnet(), 5), (3, 40, 40), [0, 0, 0, 1, 1, 2, 2, 3, 3]),
    "resnet, head of each stage": (
        lambda: vds.from_resnet(narrow_resnet(), 5, heads="per_stage"),
        (3, 40, 40),
        [0, 0, 0, 1, 1, 2, 2, 3, 3],
    ),
    "vit": (lambda: vds.from_vit(tiny_vit(), 5), (3, 8, 8), [0] * 4),
    "vit, mean": (lambda: vds.from_vit(tiny_vit(), 5, pool="mean"), (3, 8, 8), [0] * 4),
}


@pytest.fixture(params=CASES)
def case(request):
    build, shape, its_stages = CASES[request.param]
    net = build()
    x = torch.randn(6, *shape)
    with torch.no_grad():
        net(x)  # batch statistics other than the initial ones
    return net, x, its_stages


@pytest.mark.parametrize("training", [True, False])
def test_every_depth_is_read_out(case, training):
    net, x, its_stages = case
    net.train(training)
    assert list(net.stages) == its_stages
    assert (tuple(net.space), net.space.sizes) == (("depth",), (len(its_stages),))
    assert isinstance(net, vds.PerDepth)
    torch.testing.assert_close(net(x), oracle(net, x))
    net(x).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@torch.no_grad()
def test_pruned_network_has_the_numbers_and_fewer_parameters(case):
    net, x, its_stages = case
    model = vds.VDSModel(net, num_data=6)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["depth"])
    sizes = []
    for depth in (0, 2, len(its_stages) - 1):
        small = vds.prune(model, guide, depth=depth)
        torch.testing.assert_close(small(x).exp(), vds.predict_proba(model, guide, x, depth=depth))
        torch.testing.assert_close(small.backbone(x), copy.deepcopy(net).eval()(x)[: depth + 1])
        sizes.append(sum(p.numel() for p in small.parameters()))
    assert sizes[0] < sizes[1] < sizes[2] == sum(p.numel() for p in net.parameters())


def test_memory_of_the_read_outs_is_estimated(case):
    net, x, _ = case
    model = vds.VDSModel(net, num_data=6)
    estimate = estimate_memory(model, (x, torch.zeros(6, dtype=torch.long)), batch_size=6)
    assert 0 < estimate.readouts < estimate.activations
    assert net.readout == "all"


@pytest.mark.filterwarnings("default")  # torch's own exporter warns
@pytest.mark.parametrize("name", ["head of each stage", "resnet", "vit"])
def test_torch_export_accepts_the_pruned_network(name):
    build, shape, _ = CASES[name]
    model = vds.VDSModel(build(), num_data=6)
    small = vds.prune(model, vds.AutoCategorical(model), depth=2)
    x = torch.randn(6, *shape)
    program = torch.export.export(small, (x[:2],), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.testing.assert_close(program.module()(x), small(x))


@torch.no_grad()
@pytest.mark.parametrize(
    ("build", "adapt", "shape"),
    [
        (narrow_resnet, vds.from_resnet, (3, 40, 40)),
        (narrow_resnet, lambda net, **how: vds.from_resnet(net, heads="per_stage", **how), (3, 40, 40)),
        (tiny_vit, vds.from_vit, (3, 8, 8)),
        (
            sequential,
            lambda net, **how: vds.from_sequential(net, slice(1, 5), head=7, example=torch.zeros(1, 2), **how),
            (2,),
        ),
    ],
    ids=["resnet", "resnet, head of each stage", "vit", "sequential"],
)
def test_last_depth_is_the_network_itself(build, adapt, shape):
    network, x = build().eval(), torch.randn(4, *shape)
    for parameter in network.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))  # torchvision's ViT has a head of zeros
    expected = network(x)
    assert expected.std() > 0
    torch.testing.assert_close(adapt(network).eval()(x)[-1], expected)
    last = adapt(network, readout="last").eval()
    assert (tuple(last.space), last.space.sizes) == ((), ())
    torch.testing.assert_close(last(x), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("build", "depth", "widths"), [(resnet18, 8, [64, 128, 256]), (resnet50, 16, [64, 256, 512, 1024])]
)
def test_torchvision_s_own_sizes(build, depth, widths):
    network = build().eval()
    net, x = vds.from_resnet(network).eval(), torch.randn(2, 3, 64, 64)
    assert net.max_depth == depth
    assert [a.in_features for a in net.adapters if isinstance(a, nn.Linear)] == widths
    torch.testing.assert_close(net(x)[-1], network(x))


@pytest.mark.parametrize("statistics", ["per_depth", "shared"])
def test_batch_norm_in_the_head_of_each_stage_keeps_the_statistics_of_its_depths(statistics):
    net, x = stages(norm_head, head_statistics=statistics), torch.randn(8, 2)
    norms = [m for m in net.modules() if isinstance(m, ReadoutBatchNorm)]
    assert [norm.readouts for norm in norms] == [2, 2, 1]
    plain = copy.deepcopy(net)
    plain.head = nn.ModuleList(norm_head(width) for width in (6, 4, 3))
    plain.head.load_state_dict({k: v for k, v in net.head.state_dict().items() if "running" not in k}, strict=False)
    torch.testing.assert_close(net(x), oracle(plain, x))
    net.eval()
    for depth in range(5):
        torch.testing.assert_close(net.restrict(depth=depth)(x), net(x)[: depth + 1])


def test_batch_norm_in_a_shared_head_keeps_the_statistics_of_each_depth():
    net, x = stages(norm_head(3)), torch.randn(8, 2)
    assert net.head[0].running_mean.shape == (5, 3)
    net(x)
    net.eval()
    torch.testing.assert_close(net.restrict(depth=2)(x), net(x)[:3])


def test_last_read_out_has_no_head_or_adapter_of_the_others():
    for head in (norm_head(3), norm_head):
        net = stages(head, readout="last")
        assert net(torch.randn(4, 2)).shape == (4, 5)
        assert not any(isinstance(m, ReadoutBatchNorm) for m in net.modules())
        assert not list(net.adapters.parameters())
        assert sum(isinstance(m, nn.BatchNorm1d) for m in net.head.modules()) == 1


def labelled(x):
    return x, torch.randint(0, 5, (len(x),))


@pytest.mark.parametrize("name", ["shared head", "head of each stage", "resnet", "vit"])
def test_replicates_train(name):
    build, shape, its_stages = CASES[name]
    net = build()
    model = vds.VDSModel(vds.Replicated(net, 2), num_data=6)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, labelled(torch.randn(6, *shape)), max_epochs=2, **QUIET)
    assert torch.isfinite(history.elbo).all()
    assert not torch.equal(history.elbo[..., 0], history.elbo[..., 1])
    x = torch.randn(3, *shape)
    both = model.eval().backbone(x.expand(2, *x.shape))
    assert both.shape == (len(its_stages), 2, 3, 5)
    for row, (single, _) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(single.backbone(x), both[:, row])


def test_frozen_parts_are_the_same_in_each_replicate():
    net = stages()
    vds.freeze(net.blocks)
    copies = vds.Replicated(net, 2)
    for name, parameter in copies.stacked.named_parameters():
        assert torch.equal(parameter[0], parameter[1]) == name.startswith("blocks"), name
    assert torch.equal(copies.copy(1).blocks[0].inner[0].weight, net.blocks[0].inner[0].weight)


@pytest.mark.parametrize("how", [{}, {"compile": True}, {"weight_decay": 0.1, "momentum": 0.9}])
def test_frozen_parts_stay_bit_for_bit(how):
    net = stages(norm_head)
    net.blocks[1].inner.append(nn.Dropout(0.5))
    net(torch.randn(16, 2))
    vds.freeze(net.stem)
    assert vds.freeze(net.blocks) is net.blocks
    model = vds.VDSModel(net.train(), num_data=16)
    guide = vds.AutoCategorical(model)
    before = copy.deepcopy(net.state_dict())
    history = vds.fit(model, guide, labelled(torch.randn(16, 2)), max_epochs=5, batch_size=6, **how, **QUIET)
    assert (history.compile_seconds > 0) == ("compile" in how)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(("stem", "blocks")), name
    assert guide.logits["depth"].abs().sum() > 0
    assert net.training


def test_without_freezing_batch_statistics_move_in_spite_of_eval_mode():
    """The bad control: ``fit`` trains every part that is not frozen in train mode."""
    net = stages()
    net.blocks.requires_grad_(False).eval()
    model = vds.VDSModel(net, num_data=16)
    before = net.blocks[0].inner[1].running_mean.clone()
    vds.fit(model, vds.AutoCategorical(model), labelled(torch.randn(16, 2)), max_epochs=3, **QUIET)
    assert not torch.equal(net.blocks[0].inner[1].running_mean, before)


def test_frozen_parts_can_be_copied_pickled_and_pruned():
    net, x = vds.freeze(stages()), torch.randn(4, 2)
    expected = net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(other.train()(x), expected)
    model = vds.VDSModel(net, num_data=4)
    small = vds.prune(model, vds.AutoCategorical(model), depth=2)
    torch.testing.assert_close(small.backbone(x), expected[:3])


def test_frozen_weights_need_less_memory():
    net, data = stages(), labelled(torch.randn(4, 2))
    model = vds.VDSModel(net, num_data=4)
    every = estimate_memory(model, data, batch_size=4)
    vds.freeze(net.blocks)
    rest = estimate_memory(model, data, batch_size=4)
    assert every.state - rest.state == 2 * 8 * sum(p.numel() for p in net.blocks.parameters())
    assert rest.activations < every.activations


def test_resnet18_learns_fashion_mnist(shared_data):
    generator = torch.Generator().manual_seed(0)
    data = vds.datasets.fashion_mnist(shared_data, train_size=16, generator=generator)
    torch.manual_seed(0)
    net = vds.from_resnet(resnet18(), out_features=10)
    net.stem = nn.Sequential(Repeat(), net.stem)
    model = vds.VDSModel(net, num_data=16)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, data.train, max_epochs=5, batch_size=8, lr=0.02, **QUIET)
    assert history.elbo[-1] > history.elbo[0]
    assert vds.prune(model, guide, depth=3)(data.train[0]).shape == (16, 10)


def test_vit_learns_digits():
    data = vds.datasets.digits(train_size=256, generator=torch.Generator().manual_seed(0))
    net = vds.from_vit(tiny_vit())
    net.stem = nn.Sequential(Repeat(), net.stem)
    model = vds.VDSModel(net, num_data=256)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, data.train, max_epochs=30, batch_size=64, lr=0.1, **QUIET)
    losses = -history.elbo / 256
    assert losses[-1] < 0.7 * losses[0]
    assert losses[0] > losses[10] > losses[20] > losses[-1]


def test_a_resnet_for_grey_images_needs_no_three_channels():
    network = narrow_resnet()
    network.conv1 = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False))
    network.fc = nn.Sequential(nn.Dropout(), network.fc)
    net = vds.from_resnet(network)
    assert net(torch.randn(4, 1, 20, 20)).shape == (9, 4, 10)
    with pytest.raises(TypeError, match="Expected a Linear as fc to make new heads, got Sequential"):
        vds.from_resnet(network, 5)


def refused(**how):
    stem, blocks = modules()
    given = {"stem": stem, "blocks": blocks, "head": nn.Linear(3, 5), "example": torch.zeros(1, 2)} | how
    return vds.FromModules(**given)


class InPlace(nn.Module):
    def forward(self, x):
        return x.relu_()


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: refused(blocks=[]), ValueError, "Expected at least one block, got none"),
        (
            lambda: refused(blocks=modules()[1][::-1]),
            ValueError,
            r"Expected block 1 to take .* shape \(6,\) and type .* for a",
        ),
        (
            lambda: refused(example=torch.zeros(1, 3)),
            ValueError,
            r"Expected the stem to take .* shape \(3,\) and type .* for a",
        ),
        (lambda: refused(head=nn.Linear(4, 5)), ValueError, r"Expected a head that takes features of shape \(3,\)"),
        (lambda: refused(head=lambda width: nn.Linear(4, 5)), ValueError, "Expected a head that takes features"),
        (lambda: refused(adapter=lambda width, last: nn.Linear(width, 2)), ValueError, "Expected a head that takes"),
        (lambda: refused(head=5), TypeError, "Expected a module as head, or a function from a width .*, got 5"),
        (lambda: refused(example=[0.0, 0.0]), TypeError, "Expected example inputs as a tensor or .* got list"),
        (lambda: refused(readout="first"), ValueError, "Expected readout 'all'"),
        (lambda: refused(pool=nn.Unflatten(1, (1, -1))), ValueError, r"Expected features \(batch, width\) because"),
        (
            lambda: refused(blocks=[nn.Linear(6, 6), InPlace(), nn.Linear(6, 3)]),
            ValueError,
            "Expected block 2 not to change its input",
        ),
        (lambda: refused(pool=InPlace()), ValueError, "Expected the pool not to change its input"),
        (lambda: stages().restrict(depth=5), ValueError, r"Expected a depth in 0\.\.4, got 5"),
        (lambda: vds.from_resnet(tiny_vit(), 5), TypeError, "Expected a torchvision ResNet, got VisionTransformer"),
        (lambda: vds.from_resnet(narrow_resnet(), 5, heads="each"), ValueError, "Expected heads .*, got 'each'"),
        (lambda: vds.from_vit(nn.Linear(1, 1), 5), TypeError, "Expected a torchvision VisionTransformer, got Linear"),
        (lambda: vds.from_vit(tiny_vit(), 5, pool="max"), ValueError, "Expected pool 'class' or 'mean', got 'max'"),
    ],
)
def test_what_does_not_fit_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    ("blocks", "head"),
    [(slice(1, 1), None), (slice(1, 8), None), (slice(1, 5), 3), (slice(1, 5), 8), (slice(5, 1, -1), 7)],
)
def test_positions_out_of_order_are_refused(blocks, head):
    with pytest.raises(ValueError, match="Expected blocks, followed by a head, among the 8 modules"):
        vds.from_sequential(sequential(), blocks, head=head, example=torch.zeros(1, 2))
