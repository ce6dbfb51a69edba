"""From ssh to a byte stream and back: the pump, and what stands between both on the way."""
