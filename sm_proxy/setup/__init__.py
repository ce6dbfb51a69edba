"""`sm-proxy setup`: what is asked (`answers`), and what is done and checked (`steps`)."""
