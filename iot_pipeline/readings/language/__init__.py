"""What a mapping file may say, read and checked on load. How messages are read by it is `decoding`."""
