"""Jobs: names, kinds, Describe calls, logs and markers."""
