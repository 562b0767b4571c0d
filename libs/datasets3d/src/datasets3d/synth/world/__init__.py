"""The synthetic world: streets, what stands and moves in them, and what it is made of."""
