"""Handwritten digits, bundled with scikit-learn: 1,797 real images of 8 x 8 pixels in 10 classes."""

from __future__ import annotations

import numpy as np

from gas.data.base import ImageData, image_data, register, resize, split


@register("digits")
def load_digits(
    *, resolution: int, images: int | None, validation: int | None, classes: int | None, seed: int
) -> ImageData:
    """The digits, enlarged to `resolution` and given three equal channels; split by seed, each class alike.

    A third is held out to validate, or as many as asked for where that is less.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998 (its test part), as bundled with scikit-learn.
    """
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    if classes is not None:
        kept = labels < classes
        pixels, labels = pixels[kept], labels[kept]
    grey = (pixels.reshape(-1, 8, 8, 1) * (255.0 / 16.0)).round().astype(np.uint8)
    third = len(labels) // 3
    wanted = third if validation is None else min(validation, third)
    train, val = split(labels, wanted, seed)
    train = train[:images]
    large = resize(np.repeat(grey, 3, axis=3), resolution)
    return image_data("digits", len(np.unique(labels)), (large[train], labels[train]), (large[val], labels[val]))
