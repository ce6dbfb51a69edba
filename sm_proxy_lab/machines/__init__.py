"""The lab's machines: network namespaces and links, images, programs inside containers."""
