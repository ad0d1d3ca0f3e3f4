"""What the bridge tells about itself: health and metrics."""
