"""The networks: generators, the discriminator, and their first weights."""
