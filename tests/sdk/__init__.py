"""The SageMaker Python SDKs themselves. `script/test sdk` runs these tests; no other suite does."""
