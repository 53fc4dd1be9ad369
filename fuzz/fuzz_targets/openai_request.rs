#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::openai_request(data));
