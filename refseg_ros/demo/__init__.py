"""`make demo`: camera, node and client as separate processes; ten requests, scored and shown on one page."""
