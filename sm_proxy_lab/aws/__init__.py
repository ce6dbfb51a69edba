"""The lab's AWS: one HTTP endpoint before moto that adds what moto does not do honestly."""
