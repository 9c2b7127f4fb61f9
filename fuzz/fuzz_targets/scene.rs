//! libFuzzer's way to the check `scene`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("scene", data));
