"""Training, resumable: `refseg train --config config/training/<model>.yaml`."""
