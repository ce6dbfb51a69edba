"""How to reach a container: each route is one module with `connect(container, ...) -> Stream`."""
