"""Where the MCP server is, and how much may be sent there."""

PATH = "/gradio_api/mcp"
"""Where Gradio's own server would be, so that clients and the Hub find it."""
MAX_CALL = 16 << 20
"""Bytes of a call, which may carry files: whoever has larger ones uploads them."""
