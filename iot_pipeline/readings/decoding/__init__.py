"""Messages in, rows and reasons out, by mappings bound to topics. Frames, files and minutes are the stage's."""
