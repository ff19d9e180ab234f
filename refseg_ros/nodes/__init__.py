"""ROS 2 nodes: messages to core types and back. Nothing is decided here."""
