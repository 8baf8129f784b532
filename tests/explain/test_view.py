"""The geometry, against independent arithmetic and against what a network really sees."""

import numpy as np
import pytest
import torch
from helpers import EXAMPLES
from PIL import Image
from torchvision.models import resnet18
from torchvision.transforms import v2

from cbam_viz.explain.view import MAX_ASPECT, ModelInput, View
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import resnet18_cbam

PRE = Preprocessing(size=96, crop_resize=112)


def box_of(view: View) -> tuple[float, ...]:
    """What the model sees of the photo: left, top, right, bottom in its px."""
    return *view.to_photo(0, 0), *view.to_photo(*view.size)


@pytest.mark.parametrize(
    ("photo", "size"),
    [
        ((640, 480), (128, 96)),
        ((480, 640), (96, 128)),
        ((300, 100), (288, 96)),
        ((100, 300), (96, 288)),
        ((96, 96), (96, 96)),
        ((1, 1), (96, 96)),
    ],
)
def test_whole_view_cuts_nothing_and_keeps_the_ratio(photo, size):
    view = View.whole(photo, PRE)
    assert view.size == view.resized == size
    assert box_of(view) == pytest.approx((0, 0, *photo))
    assert not view.squeezed


@pytest.mark.parametrize("photo", [(5000, 10), (10, 5000), (401, 100)])
def test_an_extreme_ratio_is_bounded_and_said(photo):
    view = View.whole(photo, PRE)
    assert max(view.size) == PRE.size * MAX_ASPECT
    assert min(view.size) == PRE.size
    assert (view.size[0] > view.size[1]) == (photo[0] > photo[1])
    assert view.squeezed
    assert box_of(view) == pytest.approx((0, 0, *photo))


@pytest.mark.parametrize("photo", [(640, 480), (100, 300), (333, 1000)])
def test_the_crop_is_the_middle_square_after_resizing(photo):
    view = View.crop(photo, PRE)
    assert view.size == (96, 96)
    left, top, right, bottom = box_of(view)
    side = 96 * min(photo) / 112
    assert (right - left, bottom - top) == pytest.approx((side, side), rel=0.02)
    assert (left + right) / 2 == pytest.approx(photo[0] / 2, abs=2 * photo[0] / view.resized[0])
    assert (top + bottom) / 2 == pytest.approx(photo[1] / 2, abs=2 * photo[1] / view.resized[1])


def test_the_input_is_what_torchvision_makes():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (150, 200, 3), np.uint8))
    transform = v2.Compose(
        [
            v2.Resize(112),
            v2.CenterCrop(96),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(PRE.mean, PRE.std),
        ]
    )
    ours = View.crop(photo.size, PRE).input_tensor(photo, PRE)[0]
    assert torch.allclose(ours, transform(photo), atol=1e-5)


@pytest.mark.parametrize("view", ["whole", "crop"])
def test_a_photo_is_shown_to_the_model_by_its_name_or_by_its_view(view):
    photo = EXAMPLES / "coffee.jpg"
    seen = ModelInput.of(photo, PRE, view)
    assert seen.view == getattr(View, view)((600, 400), PRE)
    whole = Image.open(photo).convert("RGB")
    assert torch.equal(seen.tensor, seen.view.input_tensor(whole, PRE))
    assert torch.equal(ModelInput.of(seen.photo, PRE, seen.view).tensor, seen.tensor)
    with pytest.raises(ValueError, match="whole, crop"):
        ModelInput.of(photo, PRE, "half")


def test_normalisation_values():
    ours = View.whole((96, 96), PRE).input_tensor(Image.new("RGB", (96, 96), (255, 0, 51)), PRE)
    for channel, value in enumerate((1.0, 0.0, 0.2)):
        expected = (value - PRE.mean[channel]) / PRE.std[channel]
        assert ours[0, channel].numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("photo", [(300, 100), (100, 300), (257, 193)])
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_a_map_takes_its_own_values_at_the_cells_centres(photo, stride):
    view = View.whole(photo, PRE)
    width, height = (-(-s // stride) for s in view.size)
    cells = np.random.default_rng(1).random((height, width)).astype(np.float32)
    # Drawn at the input's own size, cell i's centre is exactly pixel s*i.
    drawn = view.on_photo(cells, stride, size=view.size)
    assert drawn[::stride, ::stride] == pytest.approx(cells, abs=1e-6)
    # And half way between two centres lies half way between their values.
    between = drawn[stride // 2 :: stride, ::stride][: height - 1]
    assert between == pytest.approx((cells[:-1] + cells[1:]) / 2, abs=1e-6)


def test_cell_centres_are_s_times_i():
    view = View.whole((640, 480), PRE)  # 5 photo px to an input px
    assert view.cell_centre(0, 0, 32) == pytest.approx((2.5, 2.5))
    assert view.cell_centre(2, 1, 32) == pytest.approx((162.5, 322.5))


def test_without_smoothing_a_pixel_has_its_nearest_cell():
    view = View.whole((192, 96), PRE)
    cells = np.arange(18, dtype=np.float32).reshape(3, 6)
    drawn = view.on_photo(cells, 32, smooth=False)
    assert drawn.shape == (96, 192)
    for x, y in [(0, 0), (15, 15), (16, 15), (33, 70), (191, 95), (100, 50)]:
        column = min(range(6), key=lambda c: abs(x - 32 * c) - 1e-6 * c)
        row = min(range(3), key=lambda r: abs(y - 32 * r) - 1e-6 * r)
        assert drawn[y, x] == cells[row, column]


def test_outside_the_crop_there_is_nothing():
    view = View.crop((200, 100), PRE)
    drawn = view.on_photo(np.full((3, 3), 0.5, np.float32), 32)
    assert drawn.shape == (100, 200)
    left, top, right, bottom = box_of(view)
    y, x = np.mgrid[:100, :200] + 0.5
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    assert (np.isnan(drawn) == ~inside).all()
    assert (drawn[inside] == 0.5).all()


def test_a_map_never_leaves_its_own_range():
    cells = np.random.default_rng(2).random((7, 5)).astype(np.float32)
    drawn = View.whole((101, 143), PRE).on_photo(cells, 32)
    assert drawn.dtype == np.float32
    assert cells.min() <= drawn.min()
    assert drawn.max() <= cells.max()


def test_a_single_cell_covers_all():
    drawn = View.whole((1, 1), Preprocessing(size=32)).on_photo(np.array([[0.25]]), 32)
    assert drawn.tolist() == [[0.25]]


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_cells_lie_where_the_network_looks(layer):
    """The weighted centre of a cell's gradient with regard to the input is pixel s*i.

    Measured on torchvision's network, with positive weights so that nothing cancels.
    """
    torch.manual_seed(0)
    net = resnet18().eval()
    for p in net.parameters():
        p.data.abs_()
    size, stride = 1024, 2 ** (layer + 1)
    x = torch.rand(1, 3, size, size, requires_grad=True)
    y = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for i in range(1, layer + 1):
        y = getattr(net, f"layer{i}")(y)
    i = size // stride // 2
    y[0, :, i, i].sum().backward()
    seen = x.grad.abs().sum((0, 1)).double()
    centre = (seen.sum(0) * torch.arange(size)).sum() / seen.sum()
    # The pooling takes whichever pixel is largest: it may pull a little to one side.
    assert centre.item() == pytest.approx(stride * i, abs=0.6)
    ours = View.whole((size, size), Preprocessing(size=size)).cell_centre(i, i, stride)
    assert ours == (stride * i + 0.5, stride * i + 0.5)


@torch.inference_mode()
def test_what_changes_in_the_maps_follows_an_object_moved_over_a_photo():
    """A patch of one photo on another: the weighted centre of what changes lies on the patch.

    The features that a block's spatial gate weighs, with random kernels and averaged over several
    networks: trained kernels may lean to one side, and so may a gate's own kernel. Against a plain
    grey ground the channel gates would change the whole map and the test would say nothing. The
    usual resize of a map is 1.5, 3.5, 7.5 and 15.5 px off and fails every limit.
    """
    side, size = 384, 24
    pre = Preprocessing(size=side)
    view = View.whole((side, side), pre)
    ground = Image.open(EXAMPLES / "galaxies.jpg").convert("RGB").resize((side, side))
    patch = Image.open(EXAMPLES / "dahlia.jpg").convert("RGB").resize((size, size))
    places = [(x, 180 + 7 * i) for i, x in enumerate(range(170, 202, 8))]
    photos = [ground]
    for place in places:
        photos.append(ground.copy())
        photos[-1].paste(patch, place)
    batch = torch.cat([view.input_tensor(photo, pre) for photo in photos])
    errors: dict[str, list] = {}
    for seed in range(5):
        torch.manual_seed(seed)
        net, seen = resnet18_cbam(num_classes=2).eval(), {}
        for name, block in net.blocks().items():
            block.spatial_attention.register_forward_hook(
                lambda module, args, gate, name=name, seen=seen: seen.update({name: args[0]})
            )
        net(batch)
        for name, stride in net.strides().items():
            change = (seen[name][1:] - seen[name][:1]).square().sum(1).numpy()
            rows, columns = np.indices(change.shape[1:])
            for weights, (x, y) in zip(change, places, strict=True):
                row, column = ((weights * i).sum() / weights.sum() for i in (rows, columns))
                centre = view.cell_centre(row, column, stride)
                middle = (x + size / 2, y + size / 2)
                errors.setdefault(name, []).append(np.subtract(centre, middle))
    for name, limit in (("layer1.1", 1), ("layer2.1", 1.5), ("layer3.1", 2.5), ("layer4.1", 5)):
        off = np.abs(np.mean(errors[name], 0)).max()
        assert off < limit, f"{name}: {np.mean(errors[name], 0)} px off"


@pytest.mark.parametrize("view", ["whole", "crop"])
@pytest.mark.parametrize("stride", [4, 32])
def test_what_is_painted_comes_back_as_cells(view, stride):
    """A map drawn over the photo and read off again is that map; a constant stays one."""
    seen = getattr(View, view)((640, 480), Preprocessing())
    cells = np.random.default_rng(0).uniform(size=seen.cells(stride)).astype(np.float32)
    painted = np.nan_to_num(seen.on_photo(cells, stride, smooth=False))
    found = seen.to_cells(painted, stride)
    # Within: at the edges of the crop, and of two cells, a px belongs to both.
    assert np.abs(found - cells)[1:-1, 1:-1].mean() < 0.06
    assert np.corrcoef(found.ravel(), cells.ravel())[0, 1] > 0.97
    assert np.allclose(seen.to_cells(np.full((480, 640), 0.7), stride), 0.7, atol=1e-5)
