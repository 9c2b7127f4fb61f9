//! Ranges of versions that are not PEP 440 and whose meaning is still plain, put right: what packages of the past have in
//! their metadata.
//!
//! The repairs are uv's (`LenientRequirement`), and one more. Invariant: the result is
//! an error; nothing is dropped. Deliberately absent: what people type; see [`crate::Requirement::parse_lenient`].

/// A requirement with its range put right: `foo >=1.*` as `foo >=1`, `foo ()` as `foo`. `None` where nothing could be done.
pub(crate) fn repair_requirement(text: &str) -> Option<String> {
    let (head, marker) = match text.split_once(';') {
        Some((head, marker)) => (head, Some(marker.trim())),
        None => (text, None),
    };
    // A URL is not touched.
    if head.contains('@') {
        return None;
    }
    let name_end = head.find(|c: char| !(c.is_ascii_alphanumeric() || "-_. ".contains(c)));
    let extras_end = match name_end {
        Some(at) if head[at..].starts_with('[') => at + head[at..].find(']')? + 1,
        Some(at) => at,
        None => return None,
    };
    let (name, range) = head.split_at(extras_end);
    let range = range.trim();
    let range = match (range.strip_prefix('('), range.strip_suffix(')')) {
        (Some(_), Some(_)) => &range[1..range.len() - 1],
        (None, None) => range,
        _ => return None,
    };
    let mut repaired = format!("{}{}", name.trim(), repair_range(range)?);
    if let Some(marker) = marker.filter(|marker| !marker.is_empty()) {
        repaired.push_str(" ; ");
        repaired.push_str(marker);
    }
    Some(repaired)
}

/// A range put right: `>=3.6,` as `>=3.6`, `>=2.7<4` as `>=2.7,<4`, `!=3.0*` as `!=3.0.*`. `None` where nothing could be done.
pub(crate) fn repair_range(text: &str) -> Option<String> {
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~');
    let plain: String = text.chars().filter(|c| !matches!(c, '\'' | '"')).collect();
    let mut comparisons = Vec::new();
    for part in plain.split(',') {
        let mut rest = part.trim();
        while !rest.is_empty() {
            let version_at = rest.find(|c| !is_operator(c))?;
            let (operator, after) = rest.split_at(version_at);
            let end = after.find(is_operator).unwrap_or(after.len());
            comparisons.push(repair_comparison(operator, after[..end].trim())?);
            rest = &after[end..];
        }
    }
    Some(comparisons.join(","))
}

fn repair_comparison(operator: &str, version: &str) -> Option<String> {
    if operator.is_empty() || version.is_empty() || version.contains(char::is_whitespace) {
        return None;
    }
    Some(match (operator, version.strip_suffix('*')) {
        // `!=~5.0`: all possible meanings of `~=5.0`.
        ("!=~", None) => format!("!={version}.*"),
        // `>dev` was how to ask for any version.
        (">", None) if version == "dev" => ">0.0.0dev".to_owned(),
        // A bound has no use for a wildcard: it is read without, as by uv.
        (">=" | ">" | "<=" | "<", Some(begin)) => format!("{operator}{}", begin.trim_end_matches('.')),
        ("==" | "!=", Some(begin)) => format!("{operator}{}.*", begin.trim_end_matches('.')),
        _ => format!("{operator}{version}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{repair_range, repair_requirement};

    #[test]
    fn a_range_is_put_right_where_it_can_mean_one_thing() {
        for (text, right) in [
            (">=1.*", Some(">=1")),
            (">=2.7.*,!=3.0*", Some(">=2.7,!=3.0.*")),
            (">=1.0<3", Some(">=1.0,<3")),
            (">=1.0 <3 !=2", Some(">=1.0,<3,!=2")),
            (">=3.6,", Some(">=3.6")),
            (",>=3.6,,<4", Some(">=3.6,<4")),
            ("<3.*,>1.*,<=2.0.*", Some("<3,>1,<=2.0")),
            ("!=~5.0", Some("!=5.0.*")),
            (">dev", Some(">0.0.0dev")),
            (">='3.6'", Some(">=3.6")),
            ("\">=3.6\"", Some(">=3.6")),
            ("", Some("")),
            ("3.6", None),
            (">=", None),
            (">=3.6 or 2.7", None),
        ] {
            assert_eq!(repair_range(text).as_deref(), right, "{text}");
        }
    }

    #[test]
    fn a_requirement_is_put_right_and_its_name_groups_and_marker_stay() {
        for (text, right) in [
            ("foo >=1.*", Some("foo>=1")),
            ("foo ()", Some("foo")),
            (
                "foo[a, b] (>=1.0<3) ; python_version > '3'",
                Some("foo[a, b]>=1.0,<3 ; python_version > '3'"),
            ),
            ("foo (>=1,)", Some("foo>=1")),
            ("foo>=1;", Some("foo>=1")),
            ("foo @ https://host/x>=1<2", None),
            ("foo (>=1", None),
            ("foo bar", None),
        ] {
            assert_eq!(repair_requirement(text).as_deref(), right, "{text}");
        }
    }
}
