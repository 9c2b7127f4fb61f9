//! libFuzzer's way to the check `dvc_template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| backlot_fuzz_checks::run("dvc_template", data));
