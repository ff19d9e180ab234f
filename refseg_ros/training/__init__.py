"""Training of the shipped model, resumable: python -m refseg_ros.training <stage>."""
