"""What readers share: one idea a file; the readers themselves are one file per format."""
