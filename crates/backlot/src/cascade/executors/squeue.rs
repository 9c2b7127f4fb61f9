//! What `squeue --json` says: the tasks of our arrays and their states, over the forms that versions of Slurm give them.
//!
//! Before 23.02, states are texts and numbers are numbers; since then, states are lists, and numbers are `{"set", "infinite", "number"}`. Tasks that
//! wait have one row together, whose `array_task_string` is `3-7,9%2`. Deliberately absent: asking.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The arrays of a queue, by their comments.
#[derive(Debug, Default)]
pub(crate) struct Queue(BTreeMap<String, Array>);

/// The array that has a comment.
#[derive(Debug, Default)]
pub(crate) struct Array {
    /// Its job.
    pub(crate) job: String,
    /// Tasks that wait or run.
    pub(crate) open: BTreeSet<u64>,
    /// Tasks that ended, with the state in Slurm's words.
    pub(crate) ended: BTreeMap<u64, String>,
}

/// States in which a task is not over, or not for good.
const OPEN: [&str; 14] = [
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESIZING",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
];

impl Queue {
    /// Read what was printed; the error is a reason for people.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("`squeue --json`: {error}"))?;
        // Its exit code is 0 then, too.
        if let Some(error) = value["errors"].as_array().and_then(|errors| errors.first()) {
            let told = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
            return Err(format!(
                "`squeue --json`: {} {}",
                told("error"),
                told("description")
            ));
        }
        let jobs = value["jobs"]
            .as_array()
            .ok_or_else(|| "`squeue --json`: it has no `jobs`".to_owned())?;
        let mut queue = Self::default();
        for job in jobs {
            queue.add(job);
        }
        Ok(queue)
    }

    /// The array with a comment.
    pub(crate) fn get(&self, comment: &str) -> Option<&Array> {
        self.0.get(comment)
    }

    fn add(&mut self, job: &Value) {
        let comment = job["comment"]
            .as_str()
            .or_else(|| job["comment"]["job"].as_str())
            .unwrap_or_default();
        let Some(id) = number(&job["array_job_id"]).filter(|id| *id > 0) else {
            return;
        };
        let array = self.0.entry(comment.to_owned()).or_default();
        array.job = id.to_string();
        let states = states(&job["job_state"]);
        let is_open = states.iter().any(|state| OPEN.contains(&state.as_str()));
        let waiting = job["array_task_string"].as_str().unwrap_or_default();
        let tasks: Vec<u64> = if waiting.is_empty() {
            number(&job["array_task_id"]).into_iter().collect()
        } else {
            tasks(waiting)
        };
        for task in tasks {
            if is_open {
                array.open.insert(task);
            } else {
                array.ended.insert(task, states.join(" "));
            }
        }
    }
}

fn states(value: &Value) -> Vec<String> {
    let texts: Vec<&Value> = match value {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    texts
        .into_iter()
        .filter_map(Value::as_str)
        .map(str::to_ascii_uppercase)
        .collect()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Object(_) if value["set"].as_bool() == Some(false) => None,
        Value::Object(_) => value["number"].as_u64(),
        plain => plain.as_u64(),
    }
}

/// `3-7,9%2`, `1-9:4`.
fn tasks(text: &str) -> Vec<u64> {
    /// More than Slurm has in one array.
    const MOST: u64 = 4_000_001;
    let text = text.split('%').next().unwrap_or_default();
    let mut tasks = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last), Ok(step)) =
            (first.parse::<u64>(), last.parse::<u64>(), step.parse::<usize>())
        else {
            continue;
        };
        if last < MOST {
            tasks.extend((first..=last).step_by(step.max(1)));
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::{Queue, tasks};

    #[test]
    fn tasks_that_wait_have_one_row() {
        assert_eq!(tasks("3-5,9%2"), [3, 4, 5, 9]);
        assert_eq!(tasks("1-9:4"), [1, 5, 9]);
        assert_eq!(tasks("7"), [7]);
        assert!(tasks("").is_empty() && tasks("x-3").is_empty() && tasks("0-99999999999").is_empty());
    }

    #[test]
    fn both_forms_of_a_queue_are_read() {
        let old = r#"{"errors": [], "jobs": [
            {"job_id": 2, "array_job_id": 1, "array_task_id": 1, "array_task_string": "", "job_state": "RUNNING", "comment": "k"},
            {"job_id": 3, "array_job_id": 1, "array_task_id": 2, "array_task_string": "", "job_state": "TIMEOUT", "comment": "k"},
            {"job_id": 1, "array_job_id": 1, "array_task_id": null, "array_task_string": "3-4", "job_state": "PENDING", "comment": "k"},
            {"job_id": 9, "array_job_id": 0, "array_task_id": null, "array_task_string": "", "job_state": "RUNNING", "comment": "k"}]}"#;
        let number = |number: u64| format!("{{\"set\": true, \"infinite\": false, \"number\": {number}}}");
        let none = "{\"set\": false, \"infinite\": false, \"number\": 0}";
        let row = |id: &str, task: &str, waiting: &str, states: &str| {
            format!(
                "{{\"array_job_id\": {id}, \"array_task_id\": {task}, \"array_task_string\": \"{waiting}\", \"job_state\": {states}, \"comment\": \"k\"}}"
            )
        };
        let one = number(1);
        let rows = [
            row(&one, &one, "", "[\"RUNNING\", \"COMPLETING\"]"),
            row(&one, &number(2), "", "[\"TIMEOUT\"]"),
            row(&one, none, "3-4", "[\"PENDING\"]"),
            row(&number(0), none, "", "[\"RUNNING\"]"),
        ];
        let new = format!("{{\"errors\": [], \"jobs\": [{}]}}", rows.join(","));
        for text in [old, &new] {
            let queue = Queue::read(text).expect("read");
            let array = queue.get("k").expect("there");
            assert_eq!(array.job, "1");
            assert_eq!(array.open.iter().copied().collect::<Vec<_>>(), [1, 3, 4]);
            assert_eq!(array.ended[&2], "TIMEOUT");
            assert!(queue.get("other").is_none());
        }
    }

    #[test]
    fn an_answer_without_the_queue_is_an_error() {
        let down = r#"{"errors": [{"error": "Unspecified error", "description": "Failed while looking for jobs"}], "jobs": []}"#;
        assert!(Queue::read(down).is_err_and(|reason| reason.contains("looking for jobs")));
        assert!(Queue::read("{}").is_err() && Queue::read("slurm_load_jobs error").is_err());
    }
}
