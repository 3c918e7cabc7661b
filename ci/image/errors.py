"""What can go wrong with an image, by remedy."""

from __future__ import annotations


class ImageError(Exception):
    """Root of this package's errors."""


class UnknownImageError(ImageError):
    """No recipe of that name."""


class ImagePackagesError(ImageError):
    """A Debian package or a Python distribution of a recipe cannot be had."""


class ImageTooLargeError(ImageError):
    """The image outgrew its recipe's limit."""
