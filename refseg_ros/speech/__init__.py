"""Speech to instructions: audio, utterances, words and whether to trust them. Knows no rclpy and nothing of images."""
