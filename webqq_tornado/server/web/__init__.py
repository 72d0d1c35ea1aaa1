"""The page in the browser and its API: JSON over HTTP, news over a WebSocket."""
