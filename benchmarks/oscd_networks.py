"""U-Nets on both dates of a pair at once. Each is shown the dates in another way, so that they err in other places; their logits are
averaged. Made for a GPU: thirty courses of 500 steps and more take minutes there, and days on two CPU cores."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

from conf.windows import CHOOSE
from jobs.courses import machine_for
from models.augmentation import Augmentation, Normaliser
from models.course import Course, in_half, run_course
from models.losses import segmentation_loss
from models.metrics import scores
from models.networks import SlimEncoder, SlimUnet
from models.series import ImageSeries
from models.series_crops import SeriesCrops, SeriesDraw
from models.series_training import SeriesLesson

BANDS, SIX = 10, (0, 1, 2, 6, 8, 9)
"""Of an image, and those of the change vector."""
WIDTHS, DECODER = [32, 64, 96, 128], [96, 64, 32]
SMOOTH = (1.0, 2.0, 4.0)
"""Of the change vector's length, pixels."""
NORMALISE = Normaliser([0.0] * BANDS, [1.0] * BANDS, 6.0)
"""Images are standardised before."""
LIGHT = Augmentation(gain=0.2, band_gain=0.15, offset=0.2, band_offset=0.15, noise=0.1)
COURSE = Course(batch=32, side=96, learning_rate=0.002, weight_decay=0.05, warm_share=0.2, jaccard_share=0.3, looks=1, keep="last",
                cpu_minutes=1e4, average=0.995, augmentation=LIGHT)  # fmt: skip
DRAW = SeriesDraw(least_dates=2, most_dates=2, missing=0.0, backwards=0.5)
CHANGED_WEIGHT = 3.0
Logits = NDArray[np.float32]


class Together(nn.Module):
    """A U-Net on what `show` makes of two dates (n, 2, bands, H, W) → logits (n, H, W)."""

    def __init__(self, show: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.show = show
        channels = show(torch.zeros(1, 2, BANDS, 32, 32)).shape[1]
        self.network = SlimUnet(channels, WIDTHS, DECODER, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(self.show(images).contiguous(memory_format=torch.channels_last))
        return logits[:, 0]


class Apart(nn.Module):
    """One encoder sees each date by itself, the decoder how far they are apart at each scale (n, 2, bands, H, W) → logits (n, H, W)
    (Daudt et al. 2018, ICIP, FC-Siam-diff)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SlimEncoder(BANDS, WIDTHS, 1)
        self.decoder = UnetDecoder((BANDS, *WIDTHS), tuple(DECODER), n_blocks=len(DECODER))
        self.head = nn.Conv2d(DECODER[-1], 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second = (self.encoder(images[:, date].contiguous(memory_format=torch.channels_last)) for date in (0, 1))
        apart = [(later - earlier).abs() for earlier, later in zip(first, second, strict=True)]
        logits: torch.Tensor = self.head(self.decoder(apart))
        return logits[:, 0]


def dates_and_lengths(images: torch.Tensor) -> torch.Tensor:
    """Both dates, their difference, and how long the change vector is at several scales."""
    first, second = images[:, 0], images[:, 1]
    return torch.cat([first, second, second - first, lengths(images)], 1)


def differences(images: torch.Tensor) -> torch.Tensor:
    """How far the dates are apart, in no direction and wherever they start from."""
    return torch.cat([(images[:, 1] - images[:, 0]).abs(), lengths(images)], 1)


def lengths(images: torch.Tensor) -> torch.Tensor:
    """Of the change vector, smoothed (n, scales, H, W)."""
    far = (images[:, 1] - images[:, 0])[:, SIX].norm(dim=1, keepdim=True)
    return torch.cat([gaussian_blur(far, 2 * round(3 * width) + 1, width) for width in SMOOTH], 1)


class PairLesson(SeriesLesson):
    """What changes between two dates; labels are softened by a pixel, as they were drawn by hand."""

    def loss(self, network: nn.Module, crops: list[SeriesCrops]) -> torch.Tensor:
        (seen,) = crops
        with in_half(seen.images.device.type, self._course):
            logits = network(seen.images).float()
        changed = gaussian_blur((seen.labels[:, [1]] - seen.labels[:, [0]]).abs(), 5, 1.0)
        weights = seen.weights.amin(1, keepdim=True) * (1 + (CHANGED_WEIGHT - 1) * changed)
        return segmentation_loss(logits[:, None], changed, weights, self._course.jaccard_share)

    def judge(self, network: nn.Module) -> tuple[float, float]:
        counts = np.zeros(3)
        for pair in self._choosing:
            told, built, known = logits_of(network, pair) >= 0, pair.built[1], pair.known.all(0)
            counts += [(told & built & known).sum(), (told & ~built & known).sum(), (~told & built & known).sum()]
        return scores(*counts.tolist()).f1, 0.5


def by_networks(others: list[ImageSeries], held: ImageSeries, steps: int) -> NDArray[np.float64]:
    """Probability of change of the held pair (height, width), by networks that learned from the others."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    machine, found = machine_for(device, None), []
    for seed, make in enumerate((lambda: Together(dates_and_lengths), lambda: Together(differences), Apart), 1):
        torch.manual_seed(seed)
        course = replace(COURSE, steps=steps, seed=seed)
        lesson = PairLesson([*others, held._replace(split=CHOOSE)], NORMALISE, course, DRAW)
        found.append(logits_of(run_course(make(), lesson, course, print, machine=machine).network.to(device), held))
    return np.asarray(expit(np.mean(found, axis=0, dtype=np.float64)))


def logits_of(network: nn.Module, pair: ImageSeries) -> Logits:
    """Mean over both orders of the dates and four turns (height, width)."""
    height, width = pair.labels.shape[1:]
    images = NORMALISE(torch.from_numpy(pair.values.astype(np.float32)))
    images = functional.pad(images, (0, -width % 32, 0, -height % 32)).to(next(network.parameters()).device)
    network.eval()
    with torch.inference_mode():
        ways = [(order, turns) for order in (images, images.flip(0)) for turns in range(4)]
        told = [torch.rot90(network(torch.rot90(order, turns, (2, 3))[None])[0], -turns) for order, turns in ways]
        logits: Logits = torch.stack(told).mean(0)[:height, :width].float().cpu().numpy()
    return logits
