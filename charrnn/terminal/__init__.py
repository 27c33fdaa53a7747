"""What people see on a terminal: notes, errors, cards, heat maps, charts and the progress of training."""
