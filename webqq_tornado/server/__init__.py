"""A WebQQ-compatible server: the embedded default, a local QQ for bot developers."""
