"""The evaluation protocol on datasets in the contract's form. Always free-running: the model never sees the truth."""

from refseg_ros.evaluation.metrics import GeneralizedReferringMetrics

__all__ = ["GeneralizedReferringMetrics"]
