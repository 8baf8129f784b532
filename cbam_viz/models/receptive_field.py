"""How much of the input one cell of a block's features can see."""

from torch import nn

from .resnet import ResNetCBAM


def receptive_fields(model: ResNetCBAM) -> dict[str, int]:
    """By block name: the receptive field of a cell that the gates act on, in input px.

    It is square and centred on the cell (see `cbam_viz.explain.view`), and ends in convolutions
    and poolings alone: through the channel gate's global pooling every cell depends, weakly, on
    all of the input. The spatial gate's own convolution looks at the neighbouring cells too: with
    its 7 x 7 kernel, 6 strides more.

    Returns:
        {"layer1.0": 27, ...} for a ResNet-18, whose stages end at 43, 99, 211 and 435 px.
    """
    fields = {}
    field, step = 1, 1  # of a cell, and between neighbouring cells, in input px

    def look_through(layer: nn.Conv2d | nn.MaxPool2d) -> None:
        nonlocal field, step
        kernel, stride, dilation = (
            value if isinstance(value, int) else value[0]
            for value in (layer.kernel_size, layer.stride, layer.dilation)
        )
        field += (kernel - 1) * dilation * step
        step *= stride

    look_through(model.conv1)
    look_through(model.maxpool)
    for name, block in model.residual_blocks().items():
        # The direct children, in their order; the shortcut and the gates are deeper.
        for layer in block.children():
            if isinstance(layer, nn.Conv2d):
                look_through(layer)
        fields[name] = field
    return {name: fields[name] for name in model.blocks()}
