"""What those who run the service see of it: metrics, drift, log, traces. No text."""
