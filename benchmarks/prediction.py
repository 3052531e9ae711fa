"""Time of prediction: the marginal over all depths, the pruned network, the plain network (paper, figure 11)."""

import torch

import pyro_vds as vds
from benchmarks.measure import Comparison, interleaved


@torch.inference_mode()
def prediction(device: torch.device, *, tiny: bool) -> Comparison:
    """Compare predictions of a batch of images."""
    depth, batch, rounds = (2, 8, 2) if tiny else (50, 64, 7)
    torch.manual_seed(0)
    x = torch.randn(batch, 1, 28, 28, device=device)
    plain = vds.ResidualConvNet(1, 10, max_depth=depth, readout="last").to(device).eval()
    model = vds.VDSModel(vds.ResidualConvNet(1, 10, max_depth=depth), num_data=batch).to(device)
    guide = vds.AutoCategorical(model)
    half, folded = (vds.prune(model, guide, depth=depth // 2, fold_batch_norm=fold) for fold in (False, True))
    cases = {
        "DDN, last depth only": lambda: plain(x).softmax(-1),
        "LDN, marginal (predict_proba)": lambda: vds.predict_proba(model, guide, x),
        f"LDN, pruned to depth {depth // 2}": lambda: half(x).exp(),
        "the same, batch norms folded": lambda: folded(x).exp(),
    }
    setting = f"ResidualConvNet, D = {depth}, batch {batch}, eager"
    return Comparison("prediction", "ms", setting, interleaved(cases, device, rounds=rounds))
