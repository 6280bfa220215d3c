"""What a release says of itself: card, figures, Croissant, citation, licence, example pictures."""
