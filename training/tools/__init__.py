"""What is done after training: learning curves, timings."""
