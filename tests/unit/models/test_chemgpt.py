"""The language model: the paper's sizes, the loss of an untrained model, its FLOPs, and what it may not see."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from chemscale.errors import ChemscaleError
from chemscale.models.accounting import counted_flops, parameter_groups
from chemscale.models.chemgpt import GROUPS, published
from chemscale.models.chemgpt.network import ChemGPT, forward_flops, next_token_losses
from chemscale.models.chemgpt_slim import slim
from chemscale.models.family import GPTShape, non_embedding

PAD = 0


def tokens(batch: int, length: int, vocabulary: int = 41) -> torch.Tensor:
    return torch.randint(5, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


# widths and non-embedding parameters of the paper's models: notes on the paper, 2.2
PUBLISHED = {
    16: 77_600,
    32: 302_656,
    64: 1_195_136,
    128: 4_749_568,
    256: 18_936_320,
    512: 75_621_376,
    1024: 302_237_696,
    2048: 1_208_455_168,
}


@pytest.mark.parametrize(("width", "count"), PUBLISHED.items())
def test_published_widths_have_the_papers_parameter_counts(width, count):
    with torch.device("meta"):
        groups = parameter_groups(ChemGPT(published(width), vocabulary=684), GROUPS)
    assert non_embedding(groups) == count
    assert groups == published(width).parameters(684)
    assert groups["embedding"] == 684 * width and groups["position"] == 2048 * width


@pytest.mark.parametrize("width", [8, 16, 64, 256, 1024])
def test_slim_shape_has_heads_of_at_least_eight_dimensions_and_grows_in_depth(width):
    shape = slim(width)
    assert width % shape.heads == 0 and width // shape.heads >= 8
    assert slim(2 * width).layers >= shape.layers
    with torch.device("meta"):
        assert parameter_groups(ChemGPT(shape, 41), GROUPS) == shape.parameters(41)


def test_widths_without_a_shape_are_refused():
    with pytest.raises(ChemscaleError, match="multiple of 16"):
        published(40)
    with pytest.raises(ChemscaleError, match="power of two"):
        slim(48)


@pytest.mark.parametrize("shape", [slim(16), slim(64), published(16)], ids=["slim16", "slim64", "published16"])
def test_untrained_loss_is_the_logarithm_of_the_vocabulary(shape):
    torch.manual_seed(0)
    losses, counts = next_token_losses(ChemGPT(shape, 41), tokens(32, 24), PAD)
    assert (losses.sum() / counts.sum()).item() == pytest.approx(math.log(41), rel=0.02)


def test_padding_changes_no_loss():
    torch.manual_seed(0)
    model, x = ChemGPT(slim(16), 41), tokens(4, 12)
    padded = torch.cat([x, torch.full((4, 5), PAD)], 1)
    plain, with_padding = next_token_losses(model, x, PAD), next_token_losses(model, padded, PAD)
    torch.testing.assert_close(plain[0], with_padding[0])
    assert plain[1].tolist() == with_padding[1].tolist() == [11] * 4


def test_no_token_sees_a_later_one_or_another_molecule():
    torch.manual_seed(0)
    model, x = ChemGPT(slim(16), 41), tokens(3, 12)
    changed = x.clone()
    changed[0, 7] = 5 + (changed[0, 7] - 4) % 36
    before, after = model(x), model(changed)
    torch.testing.assert_close(before[0, :7], after[0, :7])
    torch.testing.assert_close(before[1:], after[1:])
    assert (before[0, 7:] - after[0, 7:]).abs().max() > 1e-4


def test_local_layers_reach_as_far_as_their_window():
    """Within the window the local model equals the global one; beyond it, a lone local layer forgets."""
    torch.manual_seed(0)
    everywhere = ChemGPT(GPTShape(layers=2, heads=2, width=16, context=64), 41)
    local = ChemGPT(GPTShape(layers=2, heads=2, width=16, context=64, window=8), 41)
    local.load_state_dict(everywhere.state_dict())
    x = tokens(2, 20)
    torch.testing.assert_close(local(x)[:, :8], everywhere(x)[:, :8])
    assert (local(x)[:, 8:] - everywhere(x)[:, 8:]).abs().max() > 1e-6


@pytest.mark.parametrize("shape", [slim(32), published(16)], ids=["slim", "published"])
def test_flops_equal_pytorchs_count(shape):
    model, x = ChemGPT(shape, 41), tokens(8, 21)
    lengths = torch.full((8,), 20)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels hide their products from the counter
        assert counted_flops(lambda: model(x[:, :-1])) == forward_flops(shape, 41, lengths)
        step = counted_flops(lambda: next_token_losses(model, x, PAD)[0].sum().backward())
    assert step == 3 * forward_flops(shape, 41, lengths)
