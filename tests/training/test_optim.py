"""Any optimiser and schedule: the numbers are torch's own, eager and compiled, and of each replicate alone."""

import copy
import warnings
from functools import partial

import oracles
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import pyro_vds as vds
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.optim import clipped, merged, parameter_groups, spelled

QUIET = {"progress": False}

# Not Rprop, which goes by the sign of gradients that are zero up to rounding: those of biases before batch norm.
OPTIMISERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "Adam amsgrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True, weight_decay=0.1),
    "AdamW": partial(torch.optim.AdamW, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.05),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "RAdam": partial(torch.optim.RAdam, lr=0.01),
    "Adamax": partial(torch.optim.Adamax, lr=0.01),
    "Adadelta": torch.optim.Adadelta,
    "ASGD": torch.optim.ASGD,
    "Adafactor": partial(torch.optim.Adafactor, lr=0.01),
}

SCHEDULES = {
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=10),
    "exponential": partial(lr_scheduler.ExponentialLR, gamma=0.9),
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=60),
    "plateau": partial(lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0),
}


def by_hand(model, guide, x, y, make, *, epochs, schedule=None, clip=None):
    """Train in plain torch on the loss of the oracle; return the ELBO before each step."""
    names = {id(p) for p in model.backbone.parameters()}
    groups = [
        {"params": list(model.backbone.parameters())},
        {"params": [p for p in (*model.parameters(), *guide.parameters()) if id(p) not in names], "weight_decay": 0.0},
    ]
    optimizer = make(groups)
    scheduler = None if schedule is None else schedule(optimizer)
    log_prior, elbos = model.prior("depth").logits, []
    for _ in range(epochs):
        optimizer.zero_grad()
        log_probs = oracles.log_probs(model.backbone(x), y)
        elbo = oracles.elbo(log_probs, guide.logits["depth"].log_softmax(0), log_prior, len(x))
        (-elbo / len(x)).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], clip)
        optimizer.step()
        elbos.append(float(elbo.detach()))
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(-elbos[-1])
        elif scheduler is not None:
            scheduler.step()
    return torch.tensor(elbos)


def compare(make, *, epochs, compile, schedule=None, clip=None, **how):
    """Assert that ``fit`` has the ELBO of plain torch before each of some steps on the full batch."""
    model, guide, x, y = oracles.problem(2)
    expected = by_hand(
        copy.deepcopy(model), copy.deepcopy(guide), x, y, make, epochs=epochs, schedule=schedule, clip=clip
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fallback would compare eager with eager
        history = vds.fit(
            model, guide, (x, y), optimizer=make, scheduler=schedule, clip_norm=clip, max_epochs=epochs,
            compile=compile, patience=None, **how, **QUIET,
        )  # fmt: skip
    assert (history.compile_seconds > 0) == compile
    torch.testing.assert_close(history.elbo, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_steps_are_those_of_torch(make):
    compare(make, epochs=4, compile=False)


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_compiled_steps_are_those_of_torch(make):
    compare(make, epochs=4, compile=True)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules_are_those_of_torch(schedule, compile):
    compare(OPTIMISERS["AdamW"], epochs=50, compile=compile, schedule=schedule)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("epochs", [4, 10])
def test_the_cosine_falls_to_zero_at_max_epochs(epochs, compile):
    torches, ours = [], []
    for scheduler, elbos in ((partial(lr_scheduler.CosineAnnealingLR, T_max=epochs), torches), ("cosine", ours)):
        model, guide, x, y = oracles.problem(2)
        elbos.append(
            vds.fit(model, guide, (x, y), lr=0.01, scheduler=scheduler, max_epochs=epochs, compile=compile, **QUIET)
        )
    assert len(ours[0]) == epochs
    torch.testing.assert_close(ours[0].elbo, torches[0].elbo, rtol=0, atol=1e-9)


@pytest.mark.parametrize("compile", [False, True])
def test_gradients_are_clipped_as_in_torch(compile):
    compare(partial(torch.optim.SGD, lr=0.1, momentum=0.5), epochs=50, compile=compile, clip=0.05)


@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": torch.optim.AdamW},
        {"optimizer": torch.optim.AdamW, "lr": 0.002, "guide_lr": 0.02, "weight_decay": 0.3},
        {"optimizer": partial(torch.optim.RMSprop, lr=1e-3), "momentum": 0.3, "clip_norm": 0.05},
        {"lr": 0.003, "scheduler": partial(lr_scheduler.CosineAnnealingLR, T_max=25)},
        {"lr": 0.003, "averaging": "ema", "averaging_decay": 0.9},
        {"lr": 0.003, "averaging": "swa", "averaging_start": 5, "clip_norm": 0.1},
    ],
    ids=["AdamW", "AdamW with rates", "clipped", "cosine", "ema", "swa"],
)
def test_fifty_compiled_steps_equal_eager_ones(how):
    """25 epochs of two batches, the last one smaller."""
    found = []
    for compile in (False, True):
        model, guide, x, y = oracles.problem(3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            history = vds.fit(
                model, guide, (x, y), validation=(x + 0.1, y), max_epochs=25, batch_size=7, compile=compile, **how,
                **QUIET,
            )  # fmt: skip
        found.append((history.elbo, dict(history.validation), model.state_dict(), guide.state_dict()))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": partial(torch.optim.AdamW, lr=0.003), "weight_decay": 0.1, "guide_lr": 0.02},
        {"lr": 0.01, "clip_norm": 0.02},
        {"lr": 0.01, "averaging": "ema", "averaging_decay": 0.8},
        {"lr": 0.01, "averaging": "swa", "averaging_start": 3},
    ],
    ids=["AdamW", "clipped", "ema", "swa"],
)
def test_replicates_train_as_each_alone(how, compile):
    data = [(torch.randn(12, 2), torch.randint(0, 3, (12,))) for _ in range(3)]
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 5, 2), 3), num_data=12)
    guide = vds.AutoCategorical(model)
    singles = [copy.deepcopy(pair) for pair in vds.replicates(model, guide)]
    steps = {"max_epochs": 10, "batch_size": 5, "compile": compile, "validation": data} | how
    together = vds.fit(model, guide, data, seed=7, **steps, **QUIET)
    for r, (alone, its_guide) in enumerate(singles):
        own = steps | {"validation": data[r], "compile": False}
        history = vds.fit(alone, its_guide, data[r], seed=7 + r, **own, **QUIET)
        torch.testing.assert_close(together.replicate(r).elbo, history.elbo)
        torch.testing.assert_close(dict(together.replicate(r).validation), dict(history.validation))
        trained, trained_guide = vds.replicates(model, guide)[r]
        torch.testing.assert_close(trained.state_dict(), alone.state_dict())
        torch.testing.assert_close(trained_guide.state_dict(), its_guide.state_dict())


def test_clipping_of_replicates_has_a_norm_for_each():
    gradients = [torch.randn(3, 4, 2), torch.randn(3)]
    found = clipped(gradients, 0.7, replicates=True)
    for r in range(3):
        alone = clipped([g[r] for g in gradients], 0.7, replicates=False)
        torch.testing.assert_close([g[r] for g in found], alone)
        assert float(torch.cat([g.flatten() for g in alone]).norm()) == pytest.approx(0.7, rel=1e-5)
    torch.testing.assert_close(clipped(gradients, 1e9, replicates=True), gradients)


def test_a_schedule_does_not_compile_again():
    """Torch's counter of compiled graphs stays where the first step leaves it."""
    model, guide, x, y = oracles.problem(1)
    counters = torch._dynamo.utils.counters
    seen = []
    schedule = partial(lr_scheduler.ExponentialLR, gamma=0.9)
    vds.fit(
        model, guide, (x, y), optimizer=torch.optim.AdamW, scheduler=schedule, max_epochs=8, compile=True,
        on_epoch=lambda _: seen.append(counters["stats"]["unique_graphs"]), **QUIET,
    )  # fmt: skip
    assert len(set(seen)) == 1


def test_an_optimiser_of_parameters_of_one_s_own_choice_trains_these_compiled_too():
    found = []
    for compile in (False, True):
        model, guide, x, y = oracles.problem(2)
        before = guide.logits["depth"].detach().clone()
        chosen = partial(lambda model, groups: torch.optim.AdamW(model.parameters(), lr=0.01), model)
        history = vds.fit(model, guide, (x, y), optimizer=chosen, max_epochs=9, compile=compile, **QUIET)
        assert torch.equal(guide.logits["depth"].detach(), before)
        found.append((history.elbo, model.state_dict()))
    torch.testing.assert_close(found[1], found[0])
    assert found[0][0][-1] > found[0][0][0] + 1


def test_groups_alike_are_one_unless_a_schedule_may_tell_them_apart():
    model, guide, _, _ = oracles.problem(1)
    sgd = partial(torch.optim.SGD, lr=0.1)
    counts = []
    for how in ({}, {"guide_lr": 0.1}, {"guide_lr": 0.5}, {"scheduler": lr_scheduler.StepLR}):
        config = TrainingConfig(optimizer=sgd, **how)
        groups = parameter_groups(model, guide, config)
        counts.append(len(merged(groups, sgd(groups), config)))
    assert counts == [1, 1, 2, 2]


def test_decay_spares_all_but_the_network_whatever_the_optimiser_s_own_is():
    model, guide, _, _ = oracles.problem(1)
    model = vds.VDSModel(model.backbone, likelihood=vds.likelihoods.Gaussian(learn_scale=True), num_data=12)
    groups = parameter_groups(model, guide, TrainingConfig(optimizer=torch.optim.AdamW, guide_lr=0.5))
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1, 0.5]
    assert optimizer.param_groups[2]["params"] == list(guide.parameters())


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ({"optimizer": torch.optim.LBFGS}, ValueError, "needs one gradient in a step, got LBFGS"),
        ({"optimizer": torch.optim.AdamW, "momentum": 0.9}, ValueError, "with a momentum, got AdamW. Leave momentum"),
        ({"optimizer": torch.optim.Rprop, "weight_decay": 0.1}, ValueError, "with a weight_decay, got Rprop"),
        ({"optimizer": lambda groups: nn.Linear(1, 1)}, TypeError, "to make a torch.optim.Optimizer, got Linear"),
        ({"scheduler": lambda optimizer: optimizer}, TypeError, "to make one of torch.optim.lr_scheduler, got SGD"),
    ],
)
def test_what_cannot_train_is_refused(how, kind, message):
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(kind, match=message):
        vds.fit(model, guide, (x, y), **how, **QUIET)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"optimizer": torch.optim.Adafactor}, "treats each number by itself for replicates.* got Adafactor"),
        ({"scheduler": lr_scheduler.ReduceLROnPlateau}, "by the epoch for replicates"),
    ],
)
def test_what_would_mix_replicates_is_refused(how, message):
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 5, 2), 2), num_data=12)
    with pytest.raises(ValueError, match=message):
        vds.fit(model, vds.AutoCategorical(model), (torch.randn(12, 2), torch.randint(0, 3, (12,))), **how, **QUIET)


def make_adam(groups):
    return torch.optim.Adam(groups)


def test_optimisers_are_written_as_plain_words():
    assert spelled(None) is None
    path = "torch.optim.adamw.AdamW"
    assert spelled(torch.optim.AdamW) == {"class_path": path, "init_args": {}}
    written = spelled(partial(torch.optim.AdamW, lr=0.1, betas=(0.5, 0.9)))
    assert written == {"class_path": path, "init_args": {"lr": 0.1, "betas": [0.5, 0.9]}}
    assert spelled(make_adam) == f"{__name__}.make_adam"
    with pytest.raises(TypeError, match="Expected a class, a functools.partial of one, or a function of a module"):
        spelled(lambda groups: torch.optim.Adam(groups))
