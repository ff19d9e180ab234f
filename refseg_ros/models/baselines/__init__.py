"""Models to be compared with, not to be used: what little goes into them is the point."""
