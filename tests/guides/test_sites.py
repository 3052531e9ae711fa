"""The guide of axes with sites, against its table over all architectures."""

import itertools

import pytest
import sites
import torch
from torch import nn

import pyro_vds as vds

PATTERNS = torch.tensor(list(itertools.product((0, 1), repeat=6)))


def test_the_table_is_the_product_over_sites():
    _, guide = sites.dense_model()
    q = guide.probs()["gate"]
    assert q.shape == (6, 2)
    by_hand = torch.stack([torch.stack([q[e, g] for e, g in enumerate(row)]).prod() for row in PATTERNS])
    torch.testing.assert_close(guide.joint_probs(), by_hand)
    torch.testing.assert_close(guide.log_prob({"gate": PATTERNS}).exp().detach(), by_hand)
    assert guide.mode() == {"gate": tuple(bool(g) for g in PATTERNS[by_hand.argmax()])}
    torch.manual_seed(0)
    drawn = guide.sample(20_000)["gate"]
    torch.testing.assert_close(drawn.double().mean(0), q[:, 1], atol=0.015, rtol=0)


@pytest.mark.parametrize("prior", [vds.priors.Price(2.0), vds.priors.Exchangeable(1.0, 9.0)], ids=["price", "beta"])
def test_kl_in_closed_form_equals_the_sum_over_the_table(prior):
    model, guide = sites.dense_model(prior=prior)
    log_q = guide.joint_log_probs()
    expected = (log_q.exp() * (log_q - model.log_prior())).sum()
    torch.testing.assert_close(guide.kl(model), expected)
    log_p = model.prior("gate").log_prob(PATTERNS)
    torch.testing.assert_close(model.log_prior(), log_p)


def test_coordinate_ascent_over_sites_never_lowers_the_bound_and_finds_products():
    model, guide = sites.dense_model()
    generator = torch.Generator().manual_seed(5)
    log_p = torch.randn(64, generator=generator, dtype=torch.double).mul(3).log_softmax(0)

    def kl():
        log_q = guide.joint_log_probs().detach()
        return float((log_q.exp() * (log_q - log_p)).sum())

    values = [kl()]
    for _ in range(6):
        guide.follow(log_p)
        values.append(kl())
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(values))
    rows = torch.randn(6, 2, generator=generator, dtype=torch.double).log_softmax(-1)
    product = torch.stack([rows[torch.arange(6), row].sum() for row in PATTERNS])
    guide.follow(product)
    torch.testing.assert_close(guide.joint_log_probs(), product)
    exact = vds.exact_posterior(model, sites.data())
    torch.testing.assert_close(exact.probs["gate"][:, 1], exact.log_joint_probs.exp() @ PATTERNS.double())


def test_one_architecture_for_all_sites_is_not_what_is_drawn():
    """A bad control: Pyro's enumeration in a plate would give all sites the same entry."""
    _, guide = sites.dense_model()
    nn.init.zeros_(guide.logits["gate"])
    torch.manual_seed(0)
    drawn = guide.sample(100)["gate"]
    assert len(drawn.unique(dim=0)) > 40


def test_training_closed_form_ends_at_the_product_next_to_the_posterior():
    model, guide = sites.dense_model(num_data=30)
    x, y = sites.data()
    history = vds.fit(
        model, guide, (x, y), max_epochs=40, optimizer=torch.optim.Adam, lr=0.01, guide_update="closed_form",
        progress=False,
    )  # fmt: skip
    assert history.elbo[-1] > history.elbo[0]
    assert history.probs["gate"].shape == (40, 6, 2)
    exact = vds.exact_posterior(model, (x, y))
    gap = exact.gap(guide)
    for site, entry in itertools.product(range(6), range(2)):  # no product one coordinate away is nearer
        other = vds.AutoCategorical(model)
        other.load_state_dict(guide.state_dict())
        with torch.no_grad():
            other.logits["gate"][site, entry] += 0.05
        assert exact.gap(other) >= gap - 1e-9


def test_a_guide_that_waits_does_not_move_and_then_does():
    model, guide = sites.dense_model(num_data=30)
    before = guide.logits["gate"].detach().clone()
    seen = []
    vds.fit(
        model, guide, sites.data(), max_epochs=6, guide_from=4, lr=0.1, momentum=0.9, progress=False,
        on_epoch=lambda record: seen.append(guide.logits["gate"].detach().clone()),
    )  # fmt: skip
    assert all(torch.equal(logits, before) for logits in seen[:4])
    assert not torch.equal(seen[4], before)


def test_probabilities_are_set_and_weights_are_kept_by_name():
    model, guide = sites.dense_model()
    x, _ = sites.data()
    q = torch.rand(6, 2, dtype=torch.double)
    guide.set_probs({"gate": q / q.sum(1, keepdim=True)})
    torch.testing.assert_close(guide.probs()["gate"], q / q.sum(1, keepdim=True))
    uniform = vds.predict_proba(model, guide, x, weights="uniform")
    torch.testing.assert_close(uniform, model.backbone(x).softmax(-1).mean(0).detach())
    exact = vds.exact_posterior(model, sites.data())
    guide.keep_weights("exact", exact.log_joint_probs)
    expected = torch.einsum("a,anc->nc", exact.log_joint_probs.exp(), model.backbone(x).softmax(-1))
    torch.testing.assert_close(vds.predict_proba(model, guide, x, weights="exact"), expected.detach())


def test_the_record_of_sites_is_stored_and_drawn(tmp_path):
    """The gate of each edge over the epochs; of more options the entropy at each edge."""
    model, guide = sites.dense_model(num_data=30)
    gap = vds.BoundGap(model, guide, sites.data(), every=1)
    history = vds.fit(model, guide, sites.data(), max_epochs=3, lr=0.01, progress=False, on_epoch=gap)
    record = history.to_dataset()
    assert record["q_gate"].dims == ("epoch", "gate_site", "gate")
    history.save(tmp_path / "history.safetensors")
    torch.testing.assert_close(vds.History.load(tmp_path / "history.safetensors").probs["gate"], history.probs["gate"])
    assert list(gap.to_dataset()) == ["log_evidence", "elbo", "gap"]
    axes = vds.plots.plot_history(history, coords=model.coords)
    drawn = axes[1].images[0].get_array()
    torch.testing.assert_close(torch.as_tensor(drawn.data).T, history.probs["gate"][..., 1])
    assert axes[1].get_title() == "q(gate = True)"
    table = vds.TabularModel(torch.randn(3, 3, 3, dtype=torch.double))
    of_three = vds.AutoCategorical(table)
    history = vds.fit(table, of_three, table.data, max_epochs=2, progress=False)
    axes = vds.plots.plot_history(history)
    q = history.probs["op"]
    torch.testing.assert_close(torch.as_tensor(axes[1].images[0].get_array().data).T, -(q * q.log()).sum(-1))
    assert axes[1].get_title() == "entropy of q(op), nats"
