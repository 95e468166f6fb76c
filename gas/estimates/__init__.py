"""Estimates of ImageNet accuracy, each with its error."""

__all__: list[str] = []
