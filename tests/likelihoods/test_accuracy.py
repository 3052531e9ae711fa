"""The likelihood of an accuracy is that of labels under a classifier, counted one by one."""

import math

import pytest
import torch

import pyro_vds as vds


@pytest.mark.parametrize(("right", "classes"), [(7, 2), (7, 10), (10, 5), (0, 3)])
def test_it_is_the_log_likelihood_of_labels_one_by_one(right, classes):
    """Ten points: where the classifier is right the label has its confidence, else an equal share of the rest."""
    accuracy = right / 10
    total = 0.0
    for point in range(10):
        total += math.log(accuracy if point < right else (1 - accuracy) / (classes - 1))
    found = vds.accuracy_log_likelihood(torch.tensor(accuracy), 10, classes)
    assert float(found) == pytest.approx(total)


def test_it_is_that_of_chance_at_chance_and_zero_at_one():
    table = torch.tensor([[0.1, 1.0]])
    torch.testing.assert_close(vds.accuracy_log_likelihood(table, 50, 10), torch.tensor([[-50 * math.log(10), 0.0]]))


def test_it_rises_above_chance_only():
    accuracies = torch.linspace(0, 1, 1001)
    steps = vds.accuracy_log_likelihood(accuracies, 1, 4).diff()
    assert bool((steps[250:] > 0).all())
    assert bool((steps[:250] < 0).all())


@pytest.mark.parametrize(
    ("accuracy", "n", "classes", "message"),
    [
        (torch.tensor([93.0]), 10, 10, r"accuracies in \[0, 1\], got 93.0 to 93.0. Divide percent by 100"),
        (torch.tensor([math.nan]), 10, 10, "accuracies in"),
        (torch.tensor([0.5]), 0, 10, "positive, finite n, got 0"),
        (torch.tensor([0.5]), math.inf, 10, "positive, finite n, got inf"),
        (torch.tensor([0.5]), 10, 1, "at least 2 classes, got 1"),
    ],
)
def test_numbers_out_of_range_are_refused(accuracy, n, classes, message):
    with pytest.raises(ValueError, match=message):
        vds.accuracy_log_likelihood(accuracy, n, classes)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(("accuracy", "given"), [([0.5], "list"), (torch.tensor([1]), "torch.int64")])
def test_accuracies_are_a_tensor_of_floats(accuracy, given):
    with pytest.raises(TypeError, match=f"floating-point tensor, got {given}"):
        vds.accuracy_log_likelihood(accuracy, 10, 10)
