"""Inputs of any kind, against the same network given a single tensor, and arrays against tensors."""

from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds
from pyro_vds.pruning.export import export

QUIET = {"progress": False}
N, LENGTH, WORDS, DEPTH = 30, 5, 20, 2
Text = namedtuple("Text", ["ids", "mask"])


def one(ids, mask):
    return torch.stack([ids, mask.long()], 1)


# How a user hands over ids and mask, and how the network takes them apart again.
KINDS = {
    "tensor": (one, lambda x: x.unbind(1)),
    "tuple": (lambda ids, mask: (ids, mask), lambda x: x),
    "dict": (lambda ids, mask: {"ids": ids, "mask": mask}, lambda x: (x["ids"], x["mask"])),
    "named tuple": (Text, lambda x: (x.ids, x.mask)),
}
MANY = ["tuple", "dict", "named tuple"]


class Embedded(nn.Module):
    """Embeds tokens, and sets those that the mask leaves out to zero."""

    def __init__(self, kind):
        super().__init__()
        self.take = KINDS[kind][1]
        self.embedding = nn.Embedding(WORDS, 4)

    def forward(self, x):
        ids, mask = self.take(x)
        return self.embedding(ids) * mask[..., None]


class Mean(nn.Module):
    def forward(self, h):
        return h.mean(-2)


def tokens(points=N):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(WORDS, (points, LENGTH), generator=generator)
    mask = torch.rand(points, LENGTH, generator=generator) < 0.8
    return ids, mask, (ids * mask).sum(1) % 2


def network(kind):
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(DEPTH)]
    return vds.PerDepth(Embedded(kind), blocks, nn.Linear(4, 2), pool=Mean())


def problem(kind, num_data=N):
    model = vds.VDSModel(network(kind), num_data=num_data)
    ids, mask, y = tokens()
    return model, vds.AutoCategorical(model), KINDS[kind][0](ids, mask), y


class Rows(torch.utils.data.Dataset):
    """Points one by one, as text data sets have them."""

    def __init__(self, make, x, y):
        self.make, self.x, self.y = make, x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        ids, mask = self.x
        return self.make(ids[i], mask[i]), self.y[i]


def of_tensors(kind):
    """Everything that takes tensors."""
    model, guide, x, y = problem(kind)
    how = {"max_epochs": 3, "batch_size": 8, "validation": (x, y)}
    found = {"elbo": vds.fit(model, guide, (x, y), config=vds.recipe(), **how, **QUIET).elbo}
    exact = vds.exact_posterior(model, (x, y), batch_size=7)
    found["exact"], found["bound"] = exact.log_likelihood, vds.enum_elbo(model, guide)(x, y)
    found["probs"] = vds.predict_proba(model, guide, x, batch_size=7)
    found["uniform"] = vds.predict(model, guide, x, weights="uniform").probs
    found["stacked"] = vds.stacked_weights(model, (x, y))
    found["costs"] = vds.multiply_adds(model.backbone, x)
    small = vds.prune(model, guide, depth=1, disagreement=True)
    found["pruned"], found["disagreement"] = small.with_disagreement(x)
    tree = vds.to_datatree(model, guide, x, y, draws=20)
    for group in ("log_likelihood", "posterior_predictive"):
        found[group] = torch.as_tensor(tree[group]["obs"].to_numpy())
    found["damage"] = torch.as_tensor(vds.lesion_study(model, guide, (x, y), draws=2)["single"].to_numpy())
    found["gradients"] = vds.path_gradients(model, x, y)
    vds.recalibrate_batch_norm(model, (x, y))
    estimate = vds.estimate_memory(model, (x, y), batch_size=8, device="meta")
    found["activations"] = torch.tensor(estimate.activations)
    return found, tree, estimate


@pytest.fixture(scope="module")
def truth():
    torch.set_default_dtype(torch.float64)
    return of_tensors("tensor")[0]


@pytest.mark.parametrize("kind", MANY)
def test_several_inputs_give_what_one_tensor_gives(kind, truth):
    found, tree, estimate = of_tensors(kind)
    activations = found.pop("activations")
    for name, values in found.items():
        torch.testing.assert_close(values, truth[name], rtol=0, atol=1e-12, msg=f"{kind}: {name}")
    assert abs(activations / truth["activations"] - 1) < 0.2  # masks of one byte in place of eight
    ids, mask, y = tokens()
    assert estimate.data == sum(t.untyped_storage().nbytes() for t in (ids, mask, y))
    names = ("x_ids", "x_mask") if kind == "dict" else ("x_0", "x_1")
    for name, part in zip(names, (ids, mask), strict=True):
        np.testing.assert_array_equal(tree["constant_data"][name], part)
        assert tree["constant_data"][name].dims == ("obs_id", f"{name}_feature_0")


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_loaders_yield_several_inputs(kind):
    ids, mask, y = tokens()
    loader = DataLoader(Rows(KINDS[kind][0], (ids, mask), y), 8)
    both = []
    for kind_of, data in ((kind, loader), ("tensor", DataLoader(TensorDataset(one(ids, mask), y), 8))):
        model, guide, *_ = problem(kind_of)
        history = vds.fit(model, guide, data, max_epochs=2, validation=data, **QUIET)
        probs = vds.predict_proba(model, guide, data)
        tree = vds.to_datatree(model, guide, data, draws=5)
        both.append(
            (history.elbo, history.validation["log_prob"], vds.exact_posterior(model, data).log_likelihood, probs)
        )
        vds.recalibrate_batch_norm(model, data)
        assert tree["observed_data"]["obs"].shape == (N,)
    for values, expected in zip(*both, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_a_loader_of_inputs_alone_yields_dicts_or_tuples_of_one():
    ids, mask, _ = tokens()
    model, guide, x, _ = problem("dict")
    expected = vds.predict_proba(model, guide, x)
    rows = [{"ids": i, "mask": m} for i, m in zip(ids, mask, strict=True)]
    torch.testing.assert_close(vds.predict_proba(model, guide, DataLoader(rows, 7)), expected)
    torch.testing.assert_close(vds.predict_proba(model, guide, DataLoader([(row,) for row in rows], 7)), expected)


def test_replicates_take_several_inputs():
    ids, mask, y = tokens()
    both = []
    for kind in ("tensor", "dict"):
        x = KINDS[kind][0](ids, mask)
        others = KINDS[kind][0](ids.flip(0), mask.flip(0))
        model = vds.VDSModel(vds.Replicated(network(kind), 2), num_data=N)
        guide = vds.AutoCategorical(model)
        history = vds.fit(model, guide, [(x, y), (others, y)], max_epochs=2, batch_size=8, validation=(x, y), **QUIET)
        pruned = vds.prune(model, guide, depth=1)(x)
        both.append((history.elbo, vds.predict_proba(model, guide, x, ensemble=True), pruned))
    for values, expected in zip(*both, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_an_architecture_for_each_input_looks_at_several_inputs():
    both = []
    for kind in ("tensor", "tuple"):
        ids, mask, y = tokens()
        x = KINDS[kind][0](ids, mask)
        model = vds.VDSModel(network(kind), num_data=N, plate=vds.DATA)
        guide = vds.AutoPerInput(model, nn.Sequential(Embedded(kind), Mean(), nn.Linear(4, DEPTH + 1)))
        history = vds.fit(model, guide, (x, y), max_epochs=2, batch_size=8, **QUIET)
        both.append((history.elbo, *vds.AdaptiveNetwork(model, guide)(x), vds.predict_proba(model, guide, x)))
    for values, expected in zip(*both, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_drawn_architectures_and_widths_take_several_inputs():
    both = []
    for kind in ("tensor", "dict"):
        ids, mask, y = tokens()
        x = KINDS[kind][0](ids, mask)
        gates = vds.VDSModel(vds.WithGates(network(kind)), num_data=N)
        guide = vds.AutoCategorical(gates)
        estimate = vds.estimate_evidence(gates, guide, (x, y), samples=4)
        vds.fit(gates, guide, (x, y), samples=2, max_epochs=1, **QUIET)
        wide = vds.WithWidths(vds.ResidualMLP(LENGTH, 2, width=4, max_depth=1), [2, 4])
        wide.backbone.stem = nn.Sequential(Both(kind), wide.backbone.stem)
        both.append((torch.tensor(estimate.elbo), vds.predict_proba(gates, guide, x), wide.eval()(x)))
    for values, expected in zip(*both, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


class Both(nn.Module):
    """Masked ids as numbers."""

    def __init__(self, kind):
        super().__init__()
        self.take = KINDS[kind][1]

    def forward(self, x):
        ids, mask = self.take(x)
        return (ids * mask).to(torch.get_default_dtype())


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.uint16])
def test_ids_have_any_type_that_the_stem_takes(dtype):
    ids, _, y = tokens()
    small, long = ids.to(dtype), ids
    torch.manual_seed(0)
    cast = nn.Identity() if dtype is torch.int32 else Cast()
    net = vds.FromModules(
        nn.Sequential(cast, nn.Embedding(WORDS, 4)), [nn.Linear(4, 4)], nn.Linear(4, 2), example=small, pool=Mean()
    )
    model = vds.VDSModel(net, num_data=N)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (small, y), max_epochs=1, **QUIET)
    expected = vds.predict_proba(model, guide, long)
    torch.testing.assert_close(vds.predict_proba(model, guide, small), expected, rtol=0, atol=0)
    torch.testing.assert_close(vds.predict_proba(model, guide, small.numpy()), expected, rtol=0, atol=0)


class Cast(nn.Module):
    def forward(self, ids):
        return ids.long()


class Columns(nn.Module):
    """Categories, each column with a table of its own."""

    def __init__(self, *sizes):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, 4) for size in sizes)

    def forward(self, x):
        return torch.stack([table(ids) for table, ids in zip(self.tables, x.unbind(1), strict=True)]).sum(0)


class OneHot(nn.Module):
    def forward(self, x):
        return nn.functional.one_hot(x, 3).to(torch.get_default_dtype())


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("replicates", [0, 2])
def test_ids_out_of_range_are_named_before_training(replicates):
    net = vds.PerDepth(Columns(9, 4), [nn.Linear(4, 4)], nn.Linear(4, 2))
    model = vds.VDSModel(vds.Replicated(net, replicates) if replicates else net, num_data=8)
    guide = vds.AutoCategorical(model)
    good = torch.stack([torch.arange(8), torch.arange(8) % 4], 1)
    y = torch.arange(8) % 2
    before = [p.detach().clone() for p in model.parameters()]
    # The largest value of the second column is in no point with the largest value of all.
    for bad, rows in (
        (torch.where(torch.tensor([[False, True]]) & (good == 3), 4, good), r"tables.1 has rows 0\.\.3"),
        (good - (torch.arange(8) == 6)[:, None] * 7, r"tables.0 has rows 0\.\.8"),
        (good + 9, r"tables.0 has rows 0\.\.8"),
    ):
        for call in (
            lambda x: vds.fit(model, guide, (x, y), max_epochs=1, **QUIET),
            lambda x: vds.fit(model, guide, (good, y), validation=(x, y), max_epochs=1, **QUIET),
            lambda x: vds.predict_proba(model, guide, x),
            lambda x: vds.exact_posterior(model, DataLoader(TensorDataset(x, y), 2)),
        ):
            with pytest.raises(ValueError, match=rf"Expected ids that the network can look up, got x in .*{rows}"):
                call(bad)
    if not replicates:
        loader = DataLoader(TensorDataset(torch.cat([good[:6], good[6:] + 9]), y), 2)
        with pytest.raises(ValueError, match="Expected ids that the network can look up"):
            vds.fit(model, guide, loader, max_epochs=1, **QUIET)
        return
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


@pytest.mark.usefixtures("as_a_user")
def test_other_lookups_say_what_they_were_asked_for():
    net = vds.PerDepth(OneHot(), [nn.Linear(3, 3)], nn.Linear(3, 2))
    model = vds.VDSModel(net, num_data=4)
    ids = torch.tensor([0, 1, 2, 3])
    with pytest.raises(ValueError, match="Expected inputs that the backbone accepts.* smaller than num_classes"):
        vds.fit(model, vds.AutoCategorical(model), (ids, ids % 2), **QUIET)
    fitting = ids % 3  # one id for each point
    assert vds.predict_proba(model, vds.AutoCategorical(model), fitting).shape == (4, 2)


def test_arrays_are_tensors():
    ids, mask, y = tokens()
    arrays = {"ids": ids.numpy(), "mask": mask.numpy()}
    both = []
    for x, labels in (({"ids": ids, "mask": mask}, y), (arrays, y.numpy())):
        model, guide, *_ = problem("dict")
        history = vds.fit(model, guide, (x, labels), max_epochs=2, validation=(x, labels), **QUIET)
        exact = vds.exact_posterior(model, (x, labels)).log_likelihood
        loss, log_prob = vds.enum_elbo(model, guide)(x, labels), vds.log_predictive(model, guide, x, labels)
        gradients, small = vds.path_gradients(model, x, labels), vds.prune(model, guide, depth=1)
        vds.to_datatree(model, guide, x, labels, draws=5)
        costs = vds.multiply_adds(model.backbone, x)
        both.append((history.elbo, exact, loss, log_prob, gradients, small(x), costs, model.outputs(x)))
    for values, expected in zip(*both, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=0)


def test_double_arrays_get_the_type_of_the_weights():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(12, 3)), generator.normal(size=12)
    likelihood = vds.likelihoods.Gaussian(learn_scale=True)
    model = vds.VDSModel(vds.ResidualMLP(3, 1, width=4, max_depth=1), likelihood=likelihood, num_data=12).float()
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), max_epochs=2, **QUIET)
    expected = vds.log_predictive(model, guide, torch.tensor(x).float(), torch.tensor(y).float())
    assert expected.dtype == torch.float32
    for one_more in (x, x[::-1][::-1], np.asfortranarray(x), np.broadcast_to(x, x.shape)):  # the last is read-only
        torch.testing.assert_close(vds.log_predictive(model, guide, one_more, y), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"type torch.float64. Convert them with x.to\(torch.float32\)"):
        vds.predict_moments(model, guide, torch.tensor(x))  # who makes tensors says the type


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda x, y: ({"ids": x["ids"][:5], "mask": x["mask"]}, y), ValueError, r"same number of .*x\['ids'\]\": 5"),
        (lambda x, y: ({**x, "mask": x["mask"][:0]}, y), ValueError, r"at least one input point .* x\['mask'\] of"),
        (lambda x, y: ({**x, "mask": x["mask"] / 0.0}, y), ValueError, r"NaN or infinity in 30 of 30 points of x\['m"),
        (lambda x, y: (x, y[:5]), ValueError, r"as many targets as inputs, got .*'ids'\]\": \(30, 5\)"),
        (lambda x, y: ({}, y), TypeError, "Expected the inputs of .*data as a tensor or a NumPy array, .*, got dict"),
        (lambda x, y: ({**x, "mask": None}, y), TypeError, r"data\['mask'\] as a tensor .*, got NoneType"),
        (lambda x, y: (np.array([["a"], ["b"]]), y), TypeError, "as an array of numbers, got one of <U1"),
        (lambda x, y: (pd.DataFrame(x["ids"].numpy()), y), TypeError, r"got DataFrame. Convert with x.to_numpy\(\)"),
        (lambda x, y: (x, pd.Series(y.numpy())), TypeError, r"the targets of .*, got Series. Convert with x.to_numpy"),
        (lambda x, y: ({"ids": x["ids"]}, y), ValueError, "Expected inputs that the backbone acc.* KeyError: 'mask'"),
        (lambda x, y: (x["ids"], x["mask"], y), TypeError, "Several inputs go into one tuple or dict"),
        (lambda x, y: {**x, "y": y}, TypeError, "pair .* got a dict with the keys"),
    ],
)
def test_what_is_no_input_is_refused(change, kind, message):
    model, guide, x, y = problem("dict")
    data = change(x, y)
    for call in (
        lambda: vds.fit(model, guide, data, **QUIET),
        lambda: vds.exact_posterior(model, data),
        lambda: vds.lesion_study(model, guide, data),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_exports_take_several_inputs(tmp_path):
    model, guide, x, _ = problem("dict")
    small = vds.prune(model, guide, depth=1)
    export(small, {name: part[:2] for name, part in x.items()}, tmp_path / "small.pt2")
    program = torch.export.load(tmp_path / "small.pt2").module()
    torch.testing.assert_close(program(x), small(x))
