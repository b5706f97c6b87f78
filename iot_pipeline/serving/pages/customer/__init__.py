"""What one home or business uses."""
