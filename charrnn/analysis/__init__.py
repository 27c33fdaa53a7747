"""What a network has learned: how far back its gradients reach, and which units follow which property of a text."""
