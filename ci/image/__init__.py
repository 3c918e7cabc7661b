"""Images for the test cluster and the demo, made without Docker from Debian packages, wheels and pinned programs.

    image.build("hooks")  # Image(ref="helm-tidb/hooks:dev", digest="sha256:…", archive=Path(…), size_bytes=…)

Recipes are in `recipes.py`. The same inputs give the same digest; what was built is kept in the cache.
"""

from ci.image.builder import Image, build
from ci.image.errors import ImageError, ImagePackagesError, ImageTooLargeError, UnknownImageError
from ci.image.recipes import RECIPES

__all__ = [
    "RECIPES",
    "Image",
    "ImageError",
    "ImagePackagesError",
    "ImageTooLargeError",
    "UnknownImageError",
    "build",
]
