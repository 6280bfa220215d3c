"""Stage split: scenes to training, validation and test, and the proof that nothing leaks."""
