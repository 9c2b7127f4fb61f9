//! libFuzzer's way to the check `index_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("index_json", data));
