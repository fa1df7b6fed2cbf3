"""The page for programs that speak the Model Context Protocol (MCP): its tools, their files, the server."""
