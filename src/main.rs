//! The `molecule-mcp` program.
fn main() {}
