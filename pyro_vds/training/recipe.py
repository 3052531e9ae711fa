"""The recipe: the settings with which learnt depth predicts best in our experiments."""

from typing import Any, Unpack

from pyro_vds.training.config import TrainingConfig, TrainingSettings

RECIPE: dict[str, Any] = {
    "guide_update": "closed_form",
    "block_rate": "full",
    "weight_floor": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "scheduler": "cosine",
}
SGD_SETTINGS = ("momentum", "weight_decay")


def recipe(**settings: Unpack[TrainingSettings]) -> TrainingConfig:
    """Return the settings of training with which learnt depth predicts best in our experiments.

    The guide is updated in closed form, blocks learn at full rate, and all architectures share a tenth of the weight
    in training. SGD has momentum 0.9 and weight decay 0.0005, and the learning rate falls to 0 along half a cosine.
    Training lasts for all of max_epochs, 500 unless given. Choose a batch_size that gives an epoch at least four
    steps: with batch norm, small batches keep a network from fitting few points too closely. The figures are in
    ``experiments/README.md``. :class:`pyro_vds.TrainingConfig` alone has the paper's settings.

    Example::

        history = vds.fit(model, guide, data.train, config=vds.recipe(max_epochs=500, batch_size=50))

    Args:
        settings: Fields of :class:`pyro_vds.TrainingConfig` that are to differ. With an optimizer of your own, momentum
            and weight decay are its own; with milestones there is no cosine.

    Raises:
        TypeError: If there is no setting of a name.
        ValueError: If a number is out of range, or two settings exclude each other.
    """
    usual = {name: value for name, value in RECIPE.items() if "optimizer" not in settings or name not in SGD_SETTINGS}
    if settings.get("milestones"):
        del usual["scheduler"]
    return TrainingConfig(max_epochs=500, patience=None).changed(**usual | settings)
