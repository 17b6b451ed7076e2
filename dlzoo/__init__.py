"""dlzoo: a PyTorch model zoo and training CLI. Importing it imports nothing heavy."""

__version__ = "0.1.0"
