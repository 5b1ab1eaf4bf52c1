"""Who may write: tokens, how they come with a request, signing in."""
