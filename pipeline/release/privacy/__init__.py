"""Photos without what they tell of people and devices, and the proof that no file of a release tells it."""
