"""Training on stored features is training through the frozen trunk, number by number."""

import copy

import pytest
import torch
import transformers
from torch import nn

import pyro_vds as vds
from benchmarks.probe import probe

N = 24


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(N, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def conv_net() -> vds.PerDepth:
    """One stage, dropout in the trunk, and a head with batch norm whose statistics are those of each depth."""
    block = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)) for _ in "abc"]
    head = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return vds.PerDepth(nn.Conv2d(3, 8, 3, padding=1), block, head, pool=pool)


def staged(head=None, **options) -> vds.FromModules:
    """Three stages: depths 0 and 1, depth 2, and depth 3."""

    def block(inputs, outputs):
        conv = nn.Conv2d(inputs, outputs, 3, stride=outputs // inputs, padding=1)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.Dropout(0.2))

    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 4)) if head is None else head
    blocks = [block(4, 4), block(4, 8), block(8, 16)]
    return vds.FromModules(nn.Conv2d(3, 4, 3), blocks, head, example=images()[:1], pool=pool, **options)


NETWORKS = {
    "one stage": conv_net,
    "adapters": staged,
    "head of each stage": lambda: staged(lambda width: nn.Linear(width, 4)),
    "last": lambda: staged(readout="last"),
}


def frozen(network: vds.PerDepth) -> vds.PerDepth:
    for part in (network.stem, network.blocks, network.pool):
        vds.freeze(part)
    return network


def trained(network: nn.Module, data, **settings) -> tuple[vds.VDSModel, vds.AutoCategorical | None, vds.History]:
    torch.manual_seed(1)
    model = vds.VDSModel(network, num_data=N)
    guide = vds.AutoCategorical(model) if model.space else None
    settings = {"max_epochs": 3, "batch_size": 10, "lr": 0.05} | settings
    return model, guide, vds.fit(model, guide, data, progress=False, **settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_weights_are_those_of_training_through_the_trunk(name):
    through = frozen(NETWORKS[name]())
    stored = copy.deepcopy(through)
    x, y = images(), torch.arange(N) % 4
    settings = {"guide_update": "closed_form", "block_rate": "full"} if name == "adapters" else {}
    slow, slow_guide, slow_history = trained(through, (x, y), **settings)
    features, heads = vds.probe(stored, x, batch_size=7)
    fast, guide, history = trained(heads, (features, y), **settings)
    torch.testing.assert_close(history.elbo, slow_history.elbo, rtol=1e-9, atol=0)
    # The network has the trained heads, and its trunk is as it was.
    full = fast.with_backbone(stored)
    states = full.state_dict(), slow.state_dict()
    assert states[0].keys() == states[1].keys()
    for key, values in states[0].items():
        torch.testing.assert_close(values, states[1][key], rtol=1e-7, atol=1e-9)
    other = images(seed=1)
    expected = vds.predict_proba(slow, slow_guide, other)
    torch.testing.assert_close(vds.predict_proba(full, guide, other), expected)
    torch.testing.assert_close(vds.predict_proba(fast, guide, vds.probe(stored, other)[0]), expected)
    if guide is not None:
        torch.testing.assert_close(guide.probs()["depth"], slow_guide.probs()["depth"])
        small = vds.prune(full, guide, depth=2)
        torch.testing.assert_close(small(other), vds.prune(slow, slow_guide, depth=2)(other))
        torch.testing.assert_close(vds.prune(fast, guide, depth=2)(features), small(x))


def test_features_are_the_pooled_activations_in_a_row():
    net = conv_net().train()
    x = images()
    features, heads = vds.probe(net, x, batch_size=N - 1)
    assert features.shape == (N, 4 * 8)
    assert not features.requires_grad
    assert all(child.training for child in net.modules())
    net.eval()
    activations = net.stem(x)
    for depth, block in enumerate([nn.Identity(), *net.blocks]):
        activations = activations + block(activations) if depth else activations
        torch.testing.assert_close(features[:, 8 * depth : 8 * depth + 8], net.pool(activations))
    torch.testing.assert_close(heads(features), net(x))
    torch.testing.assert_close(heads.restrict(depth=1)(features), net(x)[:2])
    assert {name for name, _ in heads.named_parameters()} == {
        f"network.head.{n}" for n, _ in net.head.named_parameters()
    }


def test_several_inputs_and_replicates_of_the_heads():
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=30
    )
    net = vds.from_transformers(transformers.BertModel(config).double(), 4, pool="mean")
    ids, mask = torch.randint(30, (N, 5)), (torch.rand(N, 5) < 0.7).long().index_fill(1, torch.tensor(0), 1)
    features, heads = vds.probe(net, {"input_ids": ids, "attention_mask": mask}, batch_size=10)
    torch.testing.assert_close(heads(features), net.eval()((ids, mask)))
    torch.testing.assert_close(vds.probe(net, (ids, mask))[0], features)
    torch.testing.assert_close(vds.probe(net, (ids.numpy(), mask.numpy()))[0], features)
    model, _, history = trained(vds.Replicated(heads, 2), (features, torch.arange(N) % 4))
    assert len(history) == 3
    assert model.batch_shape == (2,)


@pytest.mark.usefixtures("as_a_user")
def test_what_cannot_be_probed_is_refused():
    net, x = conv_net(), images()
    with pytest.raises(TypeError, match="Expected a PerDepth network, with stem, blocks, pool and head, got Repl"):
        vds.probe(vds.Replicated(vds.ResidualMLP(2, 2, 4, 1), 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="Expected at least one input, got none"):
        vds.probe(net, x[:0])
    with pytest.raises(ValueError, match="Expected a positive whole number as batch_size, got 0"):
        vds.probe(net, x, batch_size=0)
    many = x[:1].expand(2**45, -1, -1, -1)
    with pytest.raises(MemoryError, match="points, 32 numbers each, need 8388608.00 GiB of .* Give the network a pool"):
        vds.probe(net, many)
    _, heads = vds.probe(net, x)
    with pytest.raises(ValueError, match=r"Expected features of shape \(batch, 32\), got \(24, 3, 16, 16\)"):
        heads(x)
    model = vds.VDSModel(heads, num_data=N)
    with pytest.raises(ValueError, match="Expected a backbone with this model's space"):
        model.with_backbone(net.restrict(depth=1))


def test_the_benchmark_compares_two_runs_with_the_same_numbers(float32):
    found = probe(torch.device("cpu"), tiny=True)
    assert list(found.values) == ["through the frozen trunk", "on stored features (probe)"]
