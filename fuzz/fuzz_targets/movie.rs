//! libFuzzer's way to the check `movie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("movie", data));
