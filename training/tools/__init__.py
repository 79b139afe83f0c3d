"""What is done before and after training: packing photographs, averaging weights, learning curves, timings."""
