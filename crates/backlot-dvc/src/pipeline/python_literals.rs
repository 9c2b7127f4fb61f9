//! The literals of a Python file, for others than pipelines.

use super::python_read;
use super::value::Value;

/// The literals that a Python file assigns to names of its module, as a mapping; nothing of it is executed, and what is no literal is left out. The error says
/// what is wrong, and on which line.
///
/// ```
/// let found = backlot_dvc::pipeline::python_literals("name = 'table'\nsize = os.stat('x')\n").expect("read");
/// let map = found.as_map().expect("a mapping");
/// assert_eq!(map.get("name").and_then(|name| name.as_str()), Some("table"));
/// assert!(map.get("size").is_none());
/// ```
pub fn python_literals(text: &str) -> Result<Value, String> {
    python_read::read(text).map_err(|problem| format!("line {}: {}", problem.line, problem.reason))
}
