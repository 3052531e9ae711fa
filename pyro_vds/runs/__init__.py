"""One run: settings in, a folder out, and back."""
