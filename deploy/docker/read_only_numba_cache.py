"""Let numba read compiled code from a folder that it cannot write to, as in an image.

numba's own locators pass over folders that are not writable, and compile at every start.
``NUMBA_CACHE_LOCATOR_CLASSES`` names this one; ``NUMBA_CACHE_DIR`` is the folder.
"""

from numba.core.caching import UserProvidedCacheLocator

__all__ = ["ReadOnlyCacheLocator"]


class ReadOnlyCacheLocator(UserProvidedCacheLocator):
    """The folder that the settings name, whether or not it can be written to."""

    def ensure_cache_path(self) -> None:
        """Ask nothing of the folder: it was filled when the image was built."""
