#![no_main]

use molecule_mcp::fuzzing::Tools;

thread_local! {
    static TOOLS: Tools = Tools::new();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TOOLS.with(|tools| tools.call(bytes)));
