"""The door through which a model takes what users pass: inputs, targets and weights, as tensors or NumPy arrays."""

from typing import Any

from torch import Tensor

from pyro_vds.models.with_priors import WithPriors
from pyro_vds.ops import data as parts_of_data, inputs
from pyro_vds.spaces.typing import Array, Data, InputsLike, TargetsLike, WeightedData


class WithData(WithPriors):
    """A module that takes data of any kind.

    Arrays in double precision, in which NumPy makes them, get the dtype of the weights of the network; integers stay.
    """

    def as_inputs(self, x: InputsLike) -> Any:
        """Return inputs as the network takes them: tensors, alone or in a tuple or a dict.

        Args:
            x: A tensor or an array, or a tuple, a list or a mapping of them.

        Raises:
            TypeError: If there is something else.
        """
        return inputs.as_inputs(x, self.device_tensor().dtype)

    def as_targets(self, y: TargetsLike) -> Tensor:
        """Return targets as a tensor.

        Args:
            y: A tensor or an array.

        Raises:
            TypeError: If it is something else.
        """
        return inputs.as_targets(y, self.device_tensor().dtype)

    def as_weights(self, weight: Array | None) -> Tensor | None:
        """Return weights of points as a tensor; ``None`` without weights.

        Args:
            weight: A tensor or an array of floating-point numbers.

        Raises:
            TypeError: If it is something else.
        """
        return None if weight is None else parts_of_data.as_weights(weight, self.device_tensor().dtype)

    def as_data(self, data: object, name: str) -> Data | WeightedData:
        """Return inputs and targets as tensors, and the weights of the points if there are any.

        Args:
            data: A tuple or list of inputs and targets, or of inputs, targets and weights. Several inputs are one part,
                a tuple or a dict.
            name: What they are, for the message.

        Raises:
            TypeError: If it is neither.
        """
        return parts_of_data.as_data(data, name, self.device_tensor().dtype)

    def as_pair(self, data: object, name: str) -> Data:
        """Return a pair of inputs and targets as tensors, where weights of points are not possible.

        Args:
            data: A tuple or list of inputs and targets.
            name: What they are, for the message.

        Raises:
            TypeError: If it is no such pair.
        """
        return parts_of_data.as_pair(data, name, self.device_tensor().dtype)
