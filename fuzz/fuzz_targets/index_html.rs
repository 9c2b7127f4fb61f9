//! libFuzzer's way to the check `index_html`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("index_html", data));
