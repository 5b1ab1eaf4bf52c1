"""Rules saved for units under names, with the figures that they had then."""
