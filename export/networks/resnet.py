"""Residual networks with bottlenecks (He et al., 2015) that keep resolution by dilation, named as torchvision's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

RESNET101 = (3, 4, 23, 3)
"""Bottlenecks per stage of ResNet-101."""

RESNET50 = (3, 4, 6, 3)
"""Bottlenecks per stage of ResNet-50."""

RESNET26 = (2, 2, 2, 2)
"""Bottlenecks per stage of the smallest network of this kind, for the demonstrations."""

DEPTHS: dict[str, tuple[int, ...]] = {"resnet101": RESNET101, "resnet50": RESNET50, "resnet26": RESNET26}
"""Name of a residual backbone → its bottlenecks per stage."""

STEM, PLANES, EXPANSION = 64, (64, 128, 256, 512), 4
"""Channels of the stem, inner channels of the stages, and how many times that they give."""


class Bottleneck(nn.Module):
    """Three convolutions, 1×1, 3×3 and 1×1, beside a shortcut."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        strides: tuple[int, int] = (1, 1),
        dilation: int = 1,
        projected: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: channels it takes.
            planes: channels between its convolutions.
            out_channels: channels it gives.
            strides: of the first and the second convolution. The original (Caffe) network has its stride in the
                first, torchvision's in the second.
            dilation: of the second convolution.
            projected: whether the shortcut is a 1×1 convolution; else it is the input itself.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, kernel_size=1, stride=strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(
            planes, planes, kernel_size=3, stride=strides[1], padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        if projected:
            shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=strides[0] * strides[1], bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))
        else:
            self.downsample = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H / stride, W / stride) of (N, in_channels, H, W)."""
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        output: Tensor = self.relu(self.bn3(self.conv3(inner)) + self.downsample(x))
        return output


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        """Build the layers; the first convolution has the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, H / stride, W / stride) of (N, in_channels, H, W)."""
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        output: Tensor = self.relu(inner + self.downsample(x))
        return output


class ResNet(nn.Module):
    """The stem and the four stages.

    Args:
        in_channels: channels of the input.
        depths: bottlenecks per stage.
        stage_strides: stride of each stage.
        dilations: of each stage's bottlenecks: one for all of them, or one each.
        stride_first: whether a stage's stride is in the first 1×1 convolution (Caffe) or in the 3×3 (torchvision).
        width: multiplier on all channels; 1.0 is the paper's size.
        deep_stem: whether three 3×3 convolutions, which give twice the channels, stand for the one of 7×7.
    """

    def __init__(
        self,
        in_channels: int,
        depths: Sequence[int],
        stage_strides: Sequence[int],
        dilations: Sequence[int | Sequence[int]],
        *,
        stride_first: bool,
        width: float = 1.0,
        deep_stem: bool = False,
    ) -> None:
        """Build the layers."""
        super().__init__()
        channels = max(1, round(width * STEM))
        self.conv1: nn.Module
        if deep_stem:
            self.conv1 = _deep_stem(in_channels, channels)
            channels *= 2
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        stages = zip(PLANES, depths, stage_strides, dilations, strict=True)
        for number, (full_planes, depth, stride, rates) in enumerate(stages, 1):
            planes = max(1, round(width * full_planes))
            blocks = []
            for index, rate in enumerate([rates] * depth if isinstance(rates, int) else list(rates)[:depth]):
                step = stride if index == 0 else 1
                blocks.append(
                    Bottleneck(
                        channels,
                        planes,
                        EXPANSION * planes,
                        strides=(step, 1) if stride_first else (1, step),
                        dilation=rate,
                        projected=index == 0,
                    )
                )
                channels = EXPANSION * planes
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the four stages, of an input (N, C, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for number in range(1, len(PLANES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
            outputs.append(x)
        return tuple(outputs)


def stage_channels(width: float) -> tuple[int, ...]:
    """Return the channels that the four stages give at `width`."""
    return tuple(EXPANSION * max(1, round(width * planes)) for planes in PLANES)


def _deep_stem(in_channels: int, channels: int) -> nn.Sequential:
    """Return three 3×3 convolutions, the first of stride 2, the last to twice the channels and not yet normalised."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1, bias=False),
    )
