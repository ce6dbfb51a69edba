"""The pump between ssh and a byte stream, and the streams that check the bytes."""
