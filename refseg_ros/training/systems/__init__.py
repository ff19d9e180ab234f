"""Training of the assembled systems, resumable: python -m refseg_ros.training.systems --config FILE."""
