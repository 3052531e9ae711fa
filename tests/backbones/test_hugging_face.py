"""Encoders of transformers with random weights: the last depth is the encoder's own output, also under a mask."""

import pytest
import torch
import transformers
from torch import nn

import pyro_vds as vds

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = SMALL | {"vocab_size": 30, "max_position_embeddings": 20}
ENCODERS = {
    "Bert": TEXT,
    "Roberta": TEXT | {"attn_implementation": "eager"},
    "DistilBert": {"vocab_size": 30, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "ViT": SMALL | {"image_size": 8, "patch_size": 4},
    "Dinov2": SMALL | {"image_size": 8, "patch_size": 4},
}
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6])


def encoder_of(name: str) -> nn.Module:
    """Return a small encoder in double precision, with weights that are far from uniform attention."""
    encoder = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**ENCODERS[name]))
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return encoder.double().eval()


def inputs_of(encoder: nn.Module) -> dict[str, torch.Tensor]:
    if encoder.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(3, 3, 8, 8)}
    return {"input_ids": torch.randint(3, 30, (3, 7)), "attention_mask": MASK}


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return encoder_of(request.param)


@torch.no_grad()
def test_the_last_depth_is_the_encoder_s_output(encoder):
    x = inputs_of(encoder)
    hidden = encoder(**x).last_hidden_state
    kept = x.get("attention_mask", torch.ones(hidden.shape[:2]))[..., None]
    net, mean = vds.from_transformers(encoder).eval(), vds.from_transformers(encoder, 5, pool="mean").eval()
    assert net(x).shape == (3, 3, 16)
    torch.testing.assert_close(net(x)[-1], hidden[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mean(x)[-1], mean.head((hidden * kept).sum(1) / kept.sum(1)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net.restrict(depth=1)(x), net(x)[:2])
    torch.testing.assert_close(vds.from_transformers(encoder, readout="last").eval()(x), net(x)[-1])


@torch.no_grad()
def test_masked_tokens_change_nothing_at_any_depth():
    encoder = encoder_of("Bert")
    x = inputs_of(encoder)
    for pool in ("class", "mean"):
        net = vds.from_transformers(encoder, pool=pool).eval()
        other = x | {"input_ids": torch.where(MASK == 1, x["input_ids"], 29 - x["input_ids"])}
        torch.testing.assert_close(net(x), net(other))
        torch.testing.assert_close(net(x)[:, 1:2], net({name: values[1:2, :4] for name, values in x.items()}))
        assert not torch.allclose(net(x)[1:, 1], net(x["input_ids"])[1:, 1])
        torch.testing.assert_close(net((x["input_ids"], MASK)), net(x))
        torch.testing.assert_close(net(x["input_ids"]), net((x["input_ids"], torch.ones_like(MASK))))


@torch.no_grad()
def test_deleted_blocks_pass_the_mask_on():
    encoder = encoder_of("Bert")
    x = inputs_of(encoder)
    net = vds.from_transformers(encoder, pool="mean").eval()
    without_first = vds.lesion(net, keep=[False, True])(x)
    encoder.encoder.layer = encoder.encoder.layer[1:]
    hidden = encoder(**x).last_hidden_state * MASK[..., None]
    torch.testing.assert_close(without_first[-1], hidden.sum(1) / MASK.sum(1, keepdim=True))


def test_the_encoder_of_a_model_with_a_head_is_taken_and_trains():
    config = transformers.BertConfig(**TEXT, num_labels=4)
    network = transformers.BertForSequenceClassification(config).double()
    net = vds.from_transformers(network, 2).train()
    net(inputs_of(network)).sum().backward()
    assert network.bert.encoder.layer[0].attention.self.query.weight.grad is not None


@pytest.mark.usefixtures("as_a_user")
def test_what_does_not_suit_is_refused():
    def small(name, **options):
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**TEXT, **options))

    with pytest.raises(
        ValueError, match="Expected an encoder of transformers with the parts embeddings and layers and"
    ):
        vds.from_transformers(small("Albert"))
    with pytest.raises(ValueError, match="got MPNetModel whose output is other than that of its layers in a row"):
        vds.from_transformers(small("MPNet"))
    with pytest.raises(ValueError, match="got a decoder, whose tokens see only those before them"):
        vds.from_transformers(small("Bert", is_decoder=True))
    with pytest.raises(ValueError, match="Expected pool 'class' or 'mean', got 'max'"):
        vds.from_transformers(small("Bert"), pool="max")
    net = vds.from_transformers(small("Bert"))
    with pytest.raises(ValueError, match="Expected input_ids, or a pair of them and their attention_mask, or a dict"):
        net({"input_ids": torch.zeros(1, 3, dtype=torch.long), "pixel_values": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match="got tuple of 3 parts"):
        net((MASK, MASK, MASK))
