#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| molecule_mcp::fuzzing::journal(bytes));
