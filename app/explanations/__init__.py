"""What people say that units respond to; the newest takes the automatic label's place."""
