//! Values written as YAML: as DVC writes them, with aliases, and read back.

use fs_err as fs;
use proptest::prelude::*;

use crate::pipeline::{Map, Value, json_read, yaml_read};
use crate::yaml::value_text;

#[test]
fn plain_data_is_written_as_dvc_writes_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/emitter.jsonl");
    let rows = fs::read_to_string(path).expect("readable");
    let mut seen = 0;
    for row in rows.lines() {
        let row = json_read::read(row).expect("JSON");
        let row = row.as_map().expect("a mapping");
        let value = row.get("value").expect("a value");
        assert_eq!(
            Some(value_text(value).as_str()),
            row.get("yaml").and_then(Value::as_str)
        );
        seen += 1;
    }
    assert!(seen > 100);
}

#[test]
fn what_is_shared_is_an_alias() {
    let text = "k: &id002\n  b: &id001\n  - 1\n  c: *id001\nl:\n- &id003\n  - x\n- *id003\n- *id002\n\
                m:\n- &id004\n  z: &id005 {}\n- *id004\n- *id005\n";
    let value = yaml_read::read(text).expect("YAML");
    // Numbers follow the order of the second meeting.
    let renumbered = "k: &id003\n  b: &id001\n  - 1\n  c: *id001\nl:\n- &id002\n  - x\n- *id002\n- *id003\n\
                m:\n- &id004\n  z: &id005 {}\n- *id004\n- *id005\n";
    assert_eq!(value_text(&value), renumbered);
    assert_eq!(yaml_read::read(renumbered).expect("YAML"), value);
}

#[test]
fn numbers_and_dates_are_plain_and_text_like_them_is_quoted() {
    let text = "a: 1e-05\nb: 2.0\nc: .inf\nd: .nan\ne: 2024-01-02\nf: '2024-01-02'\ng: '010'\nh: '1_000'\ni: yes\nj:\nk: 12345678901234567890123\nl: '1e3'\nm: 1e+20\n";
    assert_eq!(value_text(&yaml_read::read(text).expect("YAML")), text);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::from),
        (-1e30..1e30).prop_map(Value::Float),
        "\\PC{0,12}".prop_map(Value::Str),
        "[ab '\u{85}\u{2028}\u{2029}\n\t]{0,8}".prop_map(Value::Str),
        "[-0-9a-z_.: ]{0,90}".prop_map(Value::Str),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
            prop::collection::vec(("[a-z0-9 .]{1,6}", inner), 0..4).prop_map(|entries| {
                let mut map = Map::default();
                for (key, value) in entries {
                    map.put(&key, value);
                }
                Value::map(map)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in any_value()) {
        let mut map = Map::default();
        map.put("k", value);
        let value = Value::map(map);
        let text = value_text(&value);
        prop_assert_eq!(yaml_read::read(&text).expect(&text), value, "{}", text);
    }
}
