"""What visitors ask for and who makes it: requests, limits, the queue, batches, devices, ZeroGPU, Ray."""
