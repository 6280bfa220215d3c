"""The documents of a release: card, figures, Croissant, citation, licence, example pictures."""
