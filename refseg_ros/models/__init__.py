"""The models, behind one protocol and one registry. Nothing heavy is imported before load()."""

from refseg_ros.models.base import Segmenter, describe, load

__all__ = ["Segmenter", "describe", "load"]
