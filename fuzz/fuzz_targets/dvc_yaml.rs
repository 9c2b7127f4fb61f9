//! libFuzzer's way to the check `dvc_yaml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("dvc_yaml", data));
