"""What several systems use, of any task: norms, layers on rows, losses, activation checkpointing."""
