"""The networks: generators, the discriminator, and their initial weights."""
