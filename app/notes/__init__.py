"""What people write of units, of every kind together."""
