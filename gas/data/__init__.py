"""Images for proxies to train on: bundled digits, procedural fractals and contours, a folder of the user's own."""

from gas.data.base import DATA, ImageData, load

__all__ = ["DATA", "ImageData", "load"]
