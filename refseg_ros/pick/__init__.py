"""`make pick`: a simulated gripper picks what an instruction names, by the node's answers alone, or refuses."""
