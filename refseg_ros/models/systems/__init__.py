"""The published systems, assembled: a backbone, a head and an answer grammar behind the protocol of core."""
