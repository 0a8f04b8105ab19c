//! All decoders: the first byte chooses one of `dataman_sql_tests::fuzz::TARGETS`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dataman_sql_tests::fuzz::run_any(data));
