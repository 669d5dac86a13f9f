"""Who may ask, and how often: API keys, rate limits, and the headers that guard a browser."""
