"""Graphs with gates, and the same choices as axes of their own, for the tests of axes with sites."""

import torch
from torch import nn

import pyro_vds as vds


class OneAxisAnEdge(nn.Module):
    """The gates of a graph as axes of their own, which the package enumerates without sites."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.names = [f"gate_{source}_{target}" for source, target in graph.edges]

    @property
    def space(self):
        return vds.Space([vds.Axis(name, (False, True)) for name in self.names])

    def forward(self, x):
        outputs = self.graph(x)
        return outputs.view(*[2] * len(self.names), *outputs.shape[1:])


def dense_model(layers=2, prior=None, num_data=300, width=6):
    """A graph of dense layers in double precision, with its model and guide of random logits."""
    torch.manual_seed(0)
    network = vds.connectivity((5,), 4, layers=layers, channels=width).double()
    model = vds.VDSModel(network, priors=prior or vds.priors.Price(2.0), num_data=num_data)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["gate"])
    return model, guide


def data(count=30):
    """Inputs of five features, and four classes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 5, dtype=torch.double, generator=generator)
    return x, torch.randint(0, 4, (count,), generator=generator)
