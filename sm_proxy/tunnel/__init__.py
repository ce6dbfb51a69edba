"""Between ssh and a byte stream: the pump, and the streams that check what passes."""
